"""An echo server over HTTP/2 (RFC 8441), by way of h2: `python http2_server.py 8765`.

Each WebSocket is one stream of an HTTP/2 connection. There is no key and no upgrade: once the extended CONNECT is
answered with 200, a `Connection` begins, whose bytes are those of the stream's DATA frames. The end of the stream is
what the end of TCP is otherwise. (Browsers speak HTTP/2 over TLS alone: wrap the socket, with "h2" in its ALPN.)
"""

import socket
import sys
import threading

import h2.config
import h2.connection
import h2.events
import h2.settings

import wscore

BUDGET = 1 << 20


def main(port: int) -> None:
    with socket.create_server(("127.0.0.1", port)) as listener:
        while True:
            sock, _ = listener.accept()
            threading.Thread(target=Peer(sock).run, daemon=True).start()


class Peer:
    """One HTTP/2 connection, with any number of WebSockets."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.http = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False, header_encoding="utf-8"))
        # Says that extended CONNECT is understood (RFC 8441 section 3).
        settings = {h2.settings.SettingCodes.ENABLE_CONNECT_PROTOCOL: 1}
        self.http.local_settings = h2.settings.Settings(client=False, initial_values=settings)
        self.websockets: dict[int, wscore.Connection] = {}
        self.unsent: dict[int, bytearray] = {}  # what the peer's flow control does not let out yet

    def run(self) -> None:
        with self.sock:
            self.sock.settimeout(60.0)
            self.http.initiate_connection()
            self.sock.sendall(self.http.data_to_send())
            while data := self.sock.recv(1 << 16):
                for event in self.http.receive_data(data):
                    self.handle(event)
                self.sock.sendall(self.http.data_to_send())

    def handle(self, event: h2.events.Event) -> None:
        match event:
            case h2.events.RequestReceived(stream_id=stream, headers=headers):
                self.answer(stream, dict(headers))
            case h2.events.DataReceived(stream_id=stream, data=data, flow_controlled_length=size):
                self.http.acknowledge_received_data(size, stream)
                self.received(stream, data)
            case h2.events.StreamEnded(stream_id=stream) | h2.events.StreamReset(stream_id=stream):
                self.ended(stream)
            case h2.events.WindowUpdated():
                for stream in list(self.unsent):
                    self.send(stream)

    def answer(self, stream: int, headers: dict[str, str]) -> None:
        """Here you decide, about `:path`, `origin`, `sec-websocket-protocol` (RFC 8441 section 5)."""
        if headers[":method"] != "CONNECT" or headers.get(":protocol") != "websocket":
            self.http.send_headers(stream, [(":status", "404")], end_stream=True)
        elif headers.get("sec-websocket-version") != "13":
            self.http.send_headers(stream, [(":status", "400"), ("sec-websocket-version", "13")], end_stream=True)
        else:
            self.http.send_headers(stream, [(":status", "200")])
            self.websockets[stream] = wscore.Connection(wscore.SERVER)
            self.unsent[stream] = bytearray()

    def received(self, stream: int, data: bytes) -> None:
        connection = self.websockets.get(stream)
        if connection is None:
            return
        while True:
            for event in connection.receive_data(data, BUDGET):
                if isinstance(event, str | bytes):
                    connection.send(event)
            data = b""
            if not connection.has_rest:
                break
        self.unsent[stream] += connection.data_to_send()
        self.send(stream)

    def send(self, stream: int) -> None:
        """Send what the windows of the connection and of the stream allow, and end the stream with the WebSocket."""
        waiting = self.unsent[stream]
        while waiting and (room := self.http.local_flow_control_window(stream)) > 0:
            size = min(room, self.http.max_outbound_frame_size)
            self.http.send_data(stream, bytes(waiting[:size]))
            del waiting[:size]
        if not waiting and self.websockets[stream].state is wscore.State.CLOSED:
            self.http.end_stream(stream)
            self.forget(stream)

    def ended(self, stream: int) -> None:
        """The peer sends no more: without a Close frame the WebSocket is lost."""
        if stream in self.websockets:
            self.websockets[stream].receive_eof()
            self.forget(stream)

    def forget(self, stream: int) -> None:
        del self.websockets[stream], self.unsent[stream]


if __name__ == "__main__":
    main(int(sys.argv[1]))
