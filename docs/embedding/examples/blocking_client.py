"""A client on a blocking socket: `python blocking_client.py ws://127.0.0.1:8765/ hello` prints the answer."""

import socket
import sys

import wscore


def main(url: str, message: str) -> None:
    handshake = wscore.Handshake(wscore.CLIENT, url)
    with socket.create_connection((handshake.uri.host, handshake.uri.port), timeout=10.0) as sock:
        sock.sendall(handshake.data_to_send())
        while handshake.receive_data(receive(sock)) is None:
            pass
        connection = wscore.Connection(wscore.CLIENT, deflate=handshake.deflate)
        connection.send(message)
        sock.sendall(connection.data_to_send())
        data = bytes(handshake.rest)
        while connection.state is not wscore.State.CLOSED:
            for event in connection.receive_data(data or receive(sock)):
                if isinstance(event, str | bytes):
                    print(event)
                    # Unless the server's Close frame has come in the same read.
                    if connection.state is wscore.State.OPEN:
                        connection.close()
            sock.sendall(connection.data_to_send())
            data = b""


def receive(sock: socket.socket) -> bytes:
    data = sock.recv(1 << 16)
    if not data:
        raise ConnectionError("the server has ended")
    return data


if __name__ == "__main__":
    main(*sys.argv[1:3])
