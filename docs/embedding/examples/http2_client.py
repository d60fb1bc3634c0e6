"""A client over HTTP/2 (RFC 8441): `python http2_client.py 127.0.0.1 8765 hello` prints the answer."""

import socket
import sys

import h2.config
import h2.connection
import h2.events
import h2.settings

import wscore


def main(host: str, port: str, message: str) -> None:
    http = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
    connection = wscore.Connection(wscore.CLIENT)
    with socket.create_connection((host, int(port)), timeout=10.0) as sock:
        http.initiate_connection()
        stream = http.get_next_available_stream_id()
        unsent = bytearray()  # what the server's flow control does not let out yet
        is_asked = False
        while connection.state is not wscore.State.CLOSED:
            sock.sendall(http.data_to_send())
            data = sock.recv(1 << 16)
            if not data:
                raise ConnectionError("the server has ended")
            for event in http.receive_data(data):
                if isinstance(event, h2.events.RemoteSettingsChanged) and not is_asked:
                    ask(http, stream, host)
                    is_asked = True
                elif isinstance(event, h2.events.ResponseReceived):
                    if dict(event.headers)[":status"] != "200":
                        raise ConnectionError("the server refused")
                    connection.send(message)
                elif isinstance(event, h2.events.DataReceived):
                    http.acknowledge_received_data(event.flow_controlled_length, stream)
                    receive(connection, event.data)
            unsent += connection.data_to_send()
            while unsent and (room := http.local_flow_control_window(stream)) > 0:
                size = min(room, http.max_outbound_frame_size)
                http.send_data(stream, bytes(unsent[:size]))
                del unsent[:size]
        sock.sendall(http.data_to_send())


def ask(http: h2.connection.H2Connection, stream: int, host: str) -> None:
    """The extended CONNECT: only servers that have said so understand it."""
    if not http.remote_settings.enable_connect_protocol:
        raise ConnectionError("this server does not speak WebSocket over HTTP/2")
    pairs = {":method": "CONNECT", ":protocol": "websocket", ":scheme": "http", ":path": "/", ":authority": host}
    http.send_headers(stream, [*pairs.items(), ("sec-websocket-version", "13")])


def receive(connection: wscore.Connection, data: bytes) -> None:
    for event in connection.receive_data(data):
        if isinstance(event, str | bytes):
            print(event)
            if connection.state is wscore.State.OPEN:
                connection.close()


if __name__ == "__main__":
    main(*sys.argv[1:4])
