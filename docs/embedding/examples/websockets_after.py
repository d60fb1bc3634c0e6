"""The same on wscore: `python websockets_after.py 8765`."""

import socket
import sys
import threading

import wscore


def main(port: int) -> None:
    with socket.create_server(("127.0.0.1", port)) as listener:
        while True:
            sock, _ = listener.accept()
            threading.Thread(target=serve, args=(sock,), daemon=True).start()


def serve(sock: socket.socket) -> None:
    with sock:
        handshake = wscore.Handshake(wscore.SERVER)
        while handshake.status is None and (data := sock.recv(1 << 16)):
            if isinstance(handshake.receive_data(data), wscore.Request):
                handshake.answer(wscore.Accept())
            sock.sendall(handshake.data_to_send())
        if not handshake.accepted:
            return
        connection, data = wscore.Connection(wscore.SERVER, max_message_size=1 << 20), bytes(handshake.rest)
        while connection.state is not wscore.State.CLOSED:
            for event in connection.receive_data(data, budget=1 << 20):
                if isinstance(event, str | bytes):
                    connection.send(event)
            sock.sendall(connection.data_to_send())
            data = b""
            if not connection.has_rest and connection.state is not wscore.State.CLOSED:
                data = sock.recv(1 << 16)
                if not data:
                    connection.receive_eof()
        sock.shutdown(socket.SHUT_WR)


if __name__ == "__main__":
    main(int(sys.argv[1]))
