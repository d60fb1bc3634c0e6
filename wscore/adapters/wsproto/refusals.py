"""Refusals with their bodies, which are plain HTTP: h11 frames what is sent and takes apart what comes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import h11

from .events import RejectConnection, RejectData
from .utilities import LocalProtocolError, RemoteProtocolError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .events import Event

__all__ = ["ReceivedRefusal", "Refusal", "SentRefusal"]


class SentRefusal:
    """What a server sends; `request` is what came, whose HTTP version decides how a body without a length ends."""

    def __init__(self, request: bytes) -> None:
        self._http = h11.Connection(h11.SERVER)
        self._http.receive_data(request)
        try:
            self._http.next_event()
        except h11.RemoteProtocolError:
            # Refused for that very reason: then it is answered as a request of unknown version is.
            self._http = h11.Connection(h11.SERVER)

    def head(self, event: RejectConnection) -> bytes:
        """The head, and the end where there is no body. Raises LocalProtocolError for what cannot be sent."""
        headers = list(event.headers)
        if not event.has_body:
            headers.append((b"content-length", b"0"))
        try:
            data = self._send(h11.Response(status_code=event.status_code, headers=headers))
        except h11.LocalProtocolError as error:
            raise LocalProtocolError(str(error)) from None
        return data if event.has_body else data + self._send(h11.EndOfMessage())

    def body(self, event: RejectData) -> bytes:
        """A part of the body. Raises LocalProtocolError for more or less than Content-Length says."""
        data = self._send(h11.Data(data=event.data))
        return data + self._send(h11.EndOfMessage()) if event.body_finished else data

    def _send(self, event: h11.Response | h11.Data | h11.EndOfMessage) -> bytes:
        try:
            return self._http.send(event) or b""
        except h11.LocalProtocolError as error:
            raise LocalProtocolError(str(error)) from None


class ReceivedRefusal:
    """What a client gets in place of a WebSocket; `complete` at its end."""

    def __init__(self) -> None:
        self.complete = False
        self._http = h11.Connection(h11.CLIENT)
        self._http.send(h11.Request(method="GET", target="/", headers=[("Host", "")]))

    def receive(self, data: bytes) -> Iterator[Event]:
        """The next bytes, b"" for the end of them; what follows the refusal is ignored. Raises RemoteProtocolError."""
        if not self.complete:
            self._http.receive_data(data)
        while not self.complete:
            try:
                event = self._http.next_event()
            except h11.RemoteProtocolError:
                raise RemoteProtocolError("Bad HTTP message", event_hint=RejectConnection()) from None
            if event is h11.NEED_DATA or event is h11.PAUSED or isinstance(event, h11.ConnectionClosed):
                return
            yield self._said(event)

    def _said(self, event: h11.Event | type[h11.NEED_DATA | h11.PAUSED]) -> Event:
        if isinstance(event, h11.Data):
            return RejectData(bytes(event.data), body_finished=False)
        if isinstance(event, h11.EndOfMessage):
            self.complete = True
            return RejectData(b"", body_finished=True)
        assert isinstance(event, h11.Response | h11.InformationalResponse)
        # An interim response promises another one, but nothing is made of that: as wsproto, we give up.
        self.complete = isinstance(event, h11.InformationalResponse)
        return RejectConnection(event.status_code, list(event.headers), has_body=not self.complete)


Refusal = SentRefusal | ReceivedRefusal
