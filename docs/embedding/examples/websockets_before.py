"""An echo server on websockets' layer without I/O: `python websockets_before.py 8765`."""

import socket
import sys
import threading

from websockets.frames import Opcode
from websockets.http11 import Request
from websockets.server import ServerProtocol


def main(port: int) -> None:
    with socket.create_server(("127.0.0.1", port)) as listener:
        while True:
            sock, _ = listener.accept()
            threading.Thread(target=serve, args=(sock,), daemon=True).start()


def serve(sock: socket.socket) -> None:
    with sock:
        protocol = ServerProtocol(max_size=1 << 20)
        while data := sock.recv(1 << 16):
            protocol.receive_data(data)
            for event in protocol.events_received():
                if isinstance(event, Request):
                    protocol.send_response(protocol.accept(event))
                elif event.opcode is Opcode.TEXT:
                    protocol.send_text(event.data, event.fin)
                elif event.opcode is Opcode.BINARY:
                    protocol.send_binary(event.data, event.fin)
            for output in protocol.data_to_send():
                if output:
                    sock.sendall(output)
                else:
                    sock.shutdown(socket.SHUT_WR)
        protocol.receive_eof()


if __name__ == "__main__":
    main(int(sys.argv[1]))
