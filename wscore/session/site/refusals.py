"""What a site says to those whom it does not let in, and the words under which they are counted."""

from http import HTTPStatus
from math import ceil

from wscore.protocol.handshake import Refuse
from wscore.protocol.headers import HeadersLike
from wscore.session.site.limits import Excess

__all__ = ["CLOSING", "CROWDED", "FAILED", "FULL", "SHORT", "TOO_LONG", "TOO_SLOW", "Refusal", "too_many"]


class Refusal(Refuse):
    """A refusal of the server's own; `reason` is the word that it is counted under."""

    __slots__ = ("reason",)
    reason: str

    def __init__(self, status: int, sentence: str | bytes, reason: str, headers: HeadersLike = ()) -> None:
        super().__init__(status, sentence, headers)
        object.__setattr__(self, "reason", reason)


TOO_SLOW = Refusal(HTTPStatus.REQUEST_TIMEOUT, "The request took too long to come.", "slow_request")
TOO_LONG = Refusal(HTTPStatus.SERVICE_UNAVAILABLE, "The server took too long to answer.", "slow_answer")
CLOSING = Refusal(HTTPStatus.SERVICE_UNAVAILABLE, "The server is shutting down.", "closing")
FULL = Refusal(HTTPStatus.SERVICE_UNAVAILABLE, "The server has as many connections as it can take.", "full")
CROWDED = Refusal(HTTPStatus.SERVICE_UNAVAILABLE, "Too many others are waiting to connect.", "crowded")
SHORT = Refusal(HTTPStatus.SERVICE_UNAVAILABLE, "The server is short of memory.", "memory")
FAILED = Refusal(HTTPStatus.INTERNAL_SERVER_ERROR, "The server failed to answer this request.", "error")


def too_many(excess: Excess) -> Refusal:
    """What an address is told that has too many connections, or too many in a second."""
    headers = {"Retry-After": str(ceil(excess.retry_after))}
    sentence = "There are too many connections from this address."
    return Refusal(HTTPStatus.TOO_MANY_REQUESTS, sentence, excess.reason, headers)
