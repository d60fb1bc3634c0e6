"""An echo server on blocking sockets, with a thread for each connection: `python blocking.py 8765`."""

import socket
import sys
import threading
from collections.abc import Iterator

import wscore

HANDSHAKE_TIMEOUT = 10.0
IDLE_TIMEOUT = 60.0
BUDGET = 1 << 20


def main(port: int) -> None:
    with socket.create_server(("127.0.0.1", port)) as listener:
        while True:
            sock, _ = listener.accept()
            threading.Thread(target=serve, args=(sock,), daemon=True).start()


def serve(sock: socket.socket) -> None:
    with sock:
        try:
            sock.settimeout(HANDSHAKE_TIMEOUT)
            connection, rest = shake_hands(sock)
            if connection is not None:
                sock.settimeout(IDLE_TIMEOUT)
                converse(sock, connection, rest)
            linger(sock)
        except OSError as error:
            print("connection lost:", error)


def shake_hands(sock: socket.socket) -> tuple[wscore.Connection | None, bytes]:
    handshake = wscore.Handshake(wscore.SERVER, compression="takeover")
    request = None
    while request is None:
        data = sock.recv(1 << 16)
        if not data:
            handshake.receive_eof()
            break
        request = handshake.receive_data(data)
    if isinstance(request, wscore.Request):
        # Here you decide: about the path, the Origin header, who it is.
        handshake.answer(wscore.Accept())
    sock.sendall(handshake.data_to_send())
    if not handshake.accepted:
        return None, b""
    return wscore.Connection(wscore.SERVER, compression="takeover", deflate=handshake.deflate), bytes(handshake.rest)


def converse(sock: socket.socket, connection: wscore.Connection, data: bytes) -> None:
    while True:
        for event in events(connection, data):
            if isinstance(event, str | bytes):
                connection.send(event)
        sock.sendall(connection.data_to_send())
        if connection.state is wscore.State.CLOSED:
            return
        data = sock.recv(1 << 16)
        if not data:
            connection.receive_eof()
            return


def events(connection: wscore.Connection, data: bytes) -> Iterator[wscore.Event]:
    """With a budget, an end takes effect only when what came before it has been answered."""
    yield from connection.receive_data(data, BUDGET)
    while connection.has_rest:
        yield from connection.receive_data(b"", BUDGET)


def linger(sock: socket.socket) -> None:
    """Let the peer read our last bytes: to close while its own are unread would reset the connection."""
    sock.shutdown(socket.SHUT_WR)
    sock.settimeout(2.0)
    while sock.recv(1 << 16):
        pass


if __name__ == "__main__":
    main(int(sys.argv[1]))
