"""A plugin for pytest inside Starlette's own tests: its test client's WebSockets go over a socket, to uvicorn.

Starlette's test client calls the application in memory. Here uvicorn serves it with wscore's adapter, and the client is
wscore's `Handshake` and `Connection` on a blocking socket; the tests do not notice. What an application raises reaches
the test, as with the original.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from typing import Any

import starlette.testclient
import uvicorn
from starlette.testclient import WebSocketDenialResponse, WebSocketTestSession
from starlette.websockets import WebSocketDisconnect

import wscore
from wscore.adapters.uvicorn import WebSocketProtocol

HANGING = 30
# What the handshake sets itself, and what it is answered with.
OURS = {"host", "connection", "upgrade"}


class Served:
    """An application under uvicorn, in a thread, until `stop`."""

    def __init__(self, app: Any, root_path: str) -> None:
        self.app = app
        self.error: Exception | None = None
        self.listener = socket.create_server(("127.0.0.1", 0))
        config = uvicorn.Config(
            self.call, interface="asgi3", ws=WebSocketProtocol, http="h11", loop="asyncio", lifespan="off",
            log_config=None, server_header=False, date_header=False, proxy_headers=False, root_path=root_path,
            timeout_graceful_shutdown=1,
        )  # fmt: skip
        self.server = uvicorn.Server(config)
        self.ready, self.may_stop = threading.Event(), asyncio.Event()
        self.thread = threading.Thread(target=lambda: asyncio.run(self.serve()))
        self.thread.start()
        assert self.ready.wait(HANGING)

    async def call(self, scope: Any, receive: Any, send: Any) -> None:
        try:
            await self.app(scope, receive, send)
        except Exception as error:
            self.error = error
            raise

    async def serve(self) -> None:
        self.server.config.load()
        self.server.lifespan = self.server.config.lifespan_class(self.server.config)
        await self.server.startup([self.listener])
        self.loop = asyncio.get_running_loop()
        self.ready.set()
        await self.may_stop.wait()
        await self.server.shutdown([self.listener])

    def stop(self) -> None:
        self.loop.call_soon_threadsafe(self.may_stop.set)
        self.thread.join(HANGING)
        assert not self.thread.is_alive()


class Session(WebSocketTestSession):
    """The original's face, for a connection over a socket."""

    def __enter__(self) -> Session:
        self.served = Served(self.app, self.scope.get("root_path", ""))
        try:
            self.sock = socket.create_connection(self.served.listener.getsockname())
            self.sock.settimeout(HANGING)
            self._shake_hands()
        except BaseException:
            self._stop()
            if self.served.error is not None:
                raise self.served.error from None
            raise
        return self

    def _shake_hands(self) -> None:
        fields = {name.decode(): value.decode("latin-1") for name, value in self.scope["headers"]}
        path, query = self.scope["raw_path"].decode(), self.scope["query_string"].decode()
        headers = {name: fields[name] for name in fields if name not in OURS and not name.startswith("sec-websocket-")}
        handshake = wscore.Handshake(
            wscore.CLIENT,
            f"ws://{fields['host']}{path}" + (f"?{query}" if query else ""),
            subprotocols=self.scope["subprotocols"],
            headers=headers,
        )
        self.sock.sendall(handshake.data_to_send())
        try:
            while (response := handshake.receive_data(self._bytes())) is None:
                pass
        except wscore.HandshakeError as error:
            self._refused(error)
        self.accepted_subprotocol = handshake.subprotocol
        self.extra_headers = [
            (name.encode(), value.encode("latin-1"))
            for name, value in response.headers
            if name not in OURS and not name.startswith("sec-websocket-")
        ]
        self.connection = wscore.Connection(wscore.CLIENT)
        self.events = list(self.connection.receive_data(handshake.rest))

    def _bytes(self) -> bytes:
        data = self.sock.recv(1 << 16)
        assert data, "the server ended before it had answered"
        return data

    def _refused(self, error: wscore.HandshakeError) -> None:
        response = error.response
        assert response is not None, error
        if response.status == 403 and not response.body:
            # How a server says that the application has closed before it had accepted.
            raise WebSocketDisconnect(1000)
        headers = [(name.encode(), value.encode("latin-1")) for name, value in response.headers]
        raise WebSocketDenialResponse(status_code=response.status, headers=headers, content=response.body)

    def __exit__(self, *args: Any) -> None:
        if self.connection.state is wscore.State.OPEN:
            self.close(1000)
        while self.connection.close_event is None:
            self._read()
        self._stop()
        error = self.served.error
        if error is not None and not isinstance(error, WebSocketDisconnect) and args[0] is None:
            raise error

    def _stop(self) -> None:
        self.sock.close()
        self.served.stop()

    def _read(self) -> None:
        data = self.sock.recv(1 << 16)
        self.events += self.connection.receive_data(data) if data else self.connection.receive_eof()
        self.sock.sendall(self.connection.data_to_send())

    def send(self, message: Any) -> None:
        if message["type"] == "websocket.disconnect":
            self.connection.close(message["code"], message["reason"] or "")
        else:
            assert message["type"] == "websocket.receive", "a peer has no other events"
            self.connection.send(message["text"] if "text" in message else message["bytes"])
        self.sock.sendall(self.connection.data_to_send())

    def receive(self) -> Any:
        while not self.events:
            self._read()
        event = self.events.pop(0)
        match event:
            case str():
                return {"type": "websocket.send", "text": event}
            case bytes():
                return {"type": "websocket.send", "bytes": event}
            case wscore.Close(code, reason):
                return {"type": "websocket.close", "code": code, "reason": reason}
        return self.receive()


starlette.testclient.WebSocketTestSession = Session  # type: ignore[misc]
