"""A client and a server, joined in memory."""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

from wscore.codec import CLIENT, SERVER, Role


class ConnectionPair:
    """Two connections with the same options, except where `server` and `client` say otherwise.

    `exchange` carries bytes both ways until nobody has any left; `events` and `carried` hold what each end has seen
    and what each has sent so far.
    """

    def __init__(
        self,
        protocol: SimpleNamespace,
        *,
        server: Mapping[str, Any] | None = None,
        client: Mapping[str, Any] | None = None,
        **both: Any,
    ) -> None:
        self.server = protocol.Connection(SERVER, **both, **(server or {}))
        self.client = protocol.Connection(CLIENT, **both, **(client or {}))
        self.events: dict[Role, list[Any]] = {SERVER: [], CLIENT: []}
        self.carried: dict[Role, bytearray] = {SERVER: bytearray(), CLIENT: bytearray()}

    def exchange(self) -> None:
        while self.server.bytes_to_send or self.client.bytes_to_send:
            self._carry(self.server, self.client)
            self._carry(self.client, self.server)

    def _carry(self, sender: Any, receiver: Any) -> None:
        data = sender.data_to_send()
        self.carried[sender.role] += data
        self.events[receiver.role] += receiver.receive_data(data)

    def transfer(self, sender: Any, message: Any, **options: Any) -> Any:
        """Send one message, and return what the other end makes of it."""
        sender.send(message, **options)
        self.exchange()
        receiver = CLIENT if sender.role is SERVER else SERVER
        return self.events[receiver].pop()
