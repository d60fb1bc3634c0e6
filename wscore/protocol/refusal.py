"""A refusal whose body comes piece by piece: the HTTP response of a server that has more to say than one sentence.

Decides how the body is framed (RFC 9112 sections 6 and 7): by the length that the headers declare, by that of the body
if all of it is there at once, else in chunks. Does not know where the pieces come from; `Refuse` is for bodies that are
at hand.
"""

from collections.abc import Iterable

from ..codec.errors import LocalProtocolError
from .headers import Headers
from .request import FRAMING_HEADERS, check_refusal, encode_refusal_head, has_body

__all__ = ["StreamedRefusal"]


class StreamedRefusal:
    """The response to a GET request, as bytes to be sent.

    `headers` are pairs of `str`; of those that frame the message only Content-Length counts, the others are left out.
    Raises `LocalProtocolError` for a status that is not 200 to 599, for headers that cannot be sent and for a
    Content-Length that is no number.
    """

    __slots__ = ("_headers", "_length", "_sent", "_status", "begun", "complete")

    def __init__(self, status: int, headers: Iterable[tuple[str, str]]) -> None:
        given = Headers(headers)
        self._status = status
        self._headers = check_refusal(status, [pair for pair in given if pair[0].lower() not in FRAMING_HEADERS])
        self._length = _declared(given) if has_body(status) else 0
        self._sent = 0
        self.begun = False
        """Whether the head is on its way."""
        self.complete = False
        """Whether nothing more may follow."""

    def start(self) -> bytes:
        """The head, if the length is known already; else `body` begins with it."""
        return b"" if self._length is None else self._take_head()

    def body(self, data: bytes, *, more: bool) -> bytes:
        """The next piece; the last one without `more`.

        Raises `LocalProtocolError`, and encodes nothing, for a piece behind the last, and where the pieces are more or
        fewer bytes than were declared, or any with a status that has no body.
        """
        if self.complete:
            raise LocalProtocolError("The body of this response is complete.")
        if self._length is None and not self.begun:
            self._length = None if more else len(data)
        if self._length is not None:
            self._measure(self._length, len(data), more)
        head = b"" if self.begun else self._take_head()
        self.complete = not more
        return head + (data if self._length is not None else _chunk(data, more))

    def _take_head(self) -> bytes:
        self.begun = True
        return encode_refusal_head(self._status, self._headers, self._length)

    def _measure(self, length: int, size: int, more: bool) -> None:
        sent = self._sent + size
        if sent > length or (not more and sent < length):
            raise LocalProtocolError("The body of a response must be as long as its Content-Length says.")
        self._sent = sent


def _chunk(data: bytes, more: bool) -> bytes:
    """One chunk, and the end of them behind the last; an empty chunk would be the end."""
    return (b"%x\r\n%b\r\n" % (len(data), data) if data else b"") + (b"" if more else b"0\r\n\r\n")


def _declared(headers: Headers) -> int | None:
    value = headers.get("content-length")
    if value is None:
        return None
    if not (value.isascii() and value.isdigit()):
        raise LocalProtocolError("Content-Length is no number.")
    return int(value)
