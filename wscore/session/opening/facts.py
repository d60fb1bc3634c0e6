"""What the opening handshake has settled."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...protocol.head import parse_request_head
from ...protocol.request import Client, Request

if TYPE_CHECKING:
    from ...protocol.response import Response

__all__ = ["KeptRequest", "Opening"]


class KeptRequest:
    """A request that nobody has asked for yet, as it came; `scheme` and `host` are those of its `Client`, whose address
    is the connection's.
    """

    __slots__ = ("head", "host", "scheme")

    def __init__(self, head: bytes, scheme: str = "http", host: str | None = None) -> None:
        self.head = head
        self.scheme = scheme
        self.host = host

    def unpack(self, address: object, user: object = None) -> Request:
        """The request, whose head was found to be good before."""
        head = parse_request_head(self.head, len(self.head))
        client = Client(address, self.scheme, self.host)
        return Request(head.method, head.target, head.headers, head.http_version, client, user)


class Opening:
    """What the opening handshake has settled, as far as it is known. `rest` is what the peer has sent after its head.

    `request` may be given as a `KeptRequest`: it is made when it is first asked for.
    """

    __slots__ = ("_request", "local_address", "remote_address", "response", "rest", "subprotocol", "user")

    def __init__(
        self,
        *,
        request: Request | KeptRequest | None = None,
        response: Response | None = None,
        subprotocol: str | None = None,
        user: object = None,
        local_address: object = None,
        remote_address: object = None,
        rest: bytes = b"",
    ) -> None:
        self._request = request
        self.response = response
        self.subprotocol = subprotocol
        self.user = user
        self.local_address = local_address
        self.remote_address = remote_address
        self.rest = rest

    @property
    def request(self) -> Request | None:
        """The request, on a server."""
        if isinstance(self._request, KeptRequest):
            self._request = self._request.unpack(self.remote_address, self.user)
        return self._request

    @property
    def kept(self) -> KeptRequest | None:
        """The request as it came, if nobody has asked for it."""
        return self._request if isinstance(self._request, KeptRequest) else None

    def without_rest(self) -> Opening:
        """The same, for whoever has taken the rest: it would be kept as long as the connection."""
        if not self.rest:
            return self
        return Opening(
            request=self._request,
            response=self.response,
            subprotocol=self.subprotocol,
            user=self.user,
            local_address=self.local_address,
            remote_address=self.remote_address,
        )

    def _all(self) -> tuple[object, ...]:
        addresses = self.local_address, self.remote_address
        return self.request, self.response, self.subprotocol, self.user, *addresses, self.rest

    def __eq__(self, other: object) -> bool:
        return self._all() == other._all() if isinstance(other, Opening) else NotImplemented

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"<Opening of {self.request!r} from {self.remote_address!r}>"
