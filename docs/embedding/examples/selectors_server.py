"""An echo server on `selectors`: one thread, deadlines, bounded buffers. `python selectors_server.py 8765`"""

import selectors
import socket
import sys
import time

import wscore

HANDSHAKE_TIMEOUT = 10.0
IDLE_TIMEOUT = 60.0
CLOSE_TIMEOUT = 2.0
BUDGET = 1 << 20
# While so much waits to leave, nothing is read: who does not take our answers can ask no more questions.
MAX_UNSENT = 1 << 20


class Peer:
    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.handshake = wscore.Handshake(wscore.SERVER)
        self.connection: wscore.Connection | None = None
        self.output = bytearray()
        self.is_ending = False  # all has been said, once the output has left
        self.is_lingering = False
        self.deadline = time.monotonic() + HANDSHAKE_TIMEOUT

    @property
    def interest(self) -> int:
        reads = self.is_lingering or (not self.is_ending and len(self.output) < MAX_UNSENT)
        return (selectors.EVENT_READ if reads else 0) | (selectors.EVENT_WRITE if self.output else 0)

    def received(self, data: bytes) -> None:
        if self.is_ending:
            return
        if self.connection is None:
            data = self.shake_hands(data)
        if self.connection is not None:
            self.take(self.connection, data)

    def shake_hands(self, data: bytes) -> bytes:
        request = self.handshake.receive_data(data)
        if isinstance(request, wscore.Request):
            self.handshake.answer(wscore.Accept())
        self.output += self.handshake.data_to_send()
        if self.handshake.accepted:
            self.connection = wscore.Connection(wscore.SERVER)
        elif request is not None:
            self.end()
        return bytes(self.handshake.rest)

    def take(self, connection: wscore.Connection, data: bytes) -> None:
        self.deadline = time.monotonic() + IDLE_TIMEOUT
        while True:
            for event in connection.receive_data(data, BUDGET):
                if isinstance(event, str | bytes):
                    connection.send(event)
            data = b""
            self.output += connection.data_to_send()
            if not connection.has_rest:
                break
        if connection.state is wscore.State.CLOSED:
            self.end()

    def end(self) -> None:
        self.is_ending = True
        self.deadline = time.monotonic() + CLOSE_TIMEOUT

    def can_write(self) -> None:
        del self.output[: self.sock.send(self.output)]

    def linger_if_done(self) -> None:
        if self.is_ending and not self.output and not self.is_lingering:
            self.is_lingering = True
            self.sock.shutdown(socket.SHUT_WR)


def main(port: int) -> None:
    selector = selectors.DefaultSelector()
    listener = socket.create_server(("127.0.0.1", port))
    listener.setblocking(False)
    selector.register(listener, selectors.EVENT_READ)
    while True:
        for key, ready in selector.select(timeout=1.0):
            if key.data is None:
                sock, _ = listener.accept()
                sock.setblocking(False)
                selector.register(sock, selectors.EVENT_READ, Peer(sock))
            else:
                attend_to(selector, key.data, ready)
        for key in list(selector.get_map().values()):
            if key.data is not None and time.monotonic() > key.data.deadline:
                drop(selector, key.data)


def attend_to(selector: selectors.BaseSelector, peer: Peer, ready: int) -> None:
    try:
        if ready & selectors.EVENT_READ:
            data = peer.sock.recv(1 << 16)
            if not data:
                drop(selector, peer)
                return
            peer.received(data)
        if peer.output:
            peer.can_write()
        peer.linger_if_done()
    except BlockingIOError:
        pass
    except OSError:
        drop(selector, peer)
        return
    selector.modify(peer.sock, peer.interest or selectors.EVENT_WRITE, peer)


def drop(selector: selectors.BaseSelector, peer: Peer) -> None:
    if peer.connection is not None:
        peer.connection.receive_eof()
    selector.unregister(peer.sock)
    peer.sock.close()


if __name__ == "__main__":
    main(int(sys.argv[1]))
