"""An echo server on a loop of one's own, which keeps every limit: `python own_loop.py 8765`."""

import fcntl
import select
import socket
import struct
import sys
import termios
import threading
from contextlib import suppress
from time import monotonic

import wscore
from wscore.session import EMPTY, ConnectionEnded, Options, Phase, Session, Wakeup


def main(port: int) -> None:
    with socket.create_server(("127.0.0.1", port)) as listener:
        while True:
            threading.Thread(target=serve, args=listener.accept(), daemon=True).start()


def serve(sock: socket.socket, address: object) -> None:
    with sock:
        options = Options(ping_interval=20.0, max_send_buffer=1 << 20)
        try:
            rest = shake_hands(sock, monotonic() + options.handshake_timeout)
        except OSError:
            return
        if rest is not None:
            connection = options.new_connection(wscore.SERVER)
            session = Session(connection, options, monotonic(), answers_at_once=True)
            session.received(rest, monotonic())
            sock.setblocking(False)
            pump(sock, session)


def shake_hands(sock: socket.socket, deadline: float) -> bytes | None:
    handshake = wscore.Handshake(wscore.SERVER)
    request = None
    while request is None:
        sock.settimeout(max(deadline - monotonic(), 0.001))
        data = sock.recv(1 << 16)
        if not data:
            return None
        request = handshake.receive_data(data)
    if isinstance(request, wscore.Request):
        handshake.answer(wscore.Accept())
    sock.sendall(handshake.data_to_send())
    if handshake.accepted:
        return bytes(handshake.rest)
    sock.shutdown(socket.SHUT_WR)
    return None


def pump(sock: socket.socket, session: Session) -> None:
    out = b""
    while session.phase is not Phase.CLOSED:
        echo(session)
        out += session.output()
        try:
            if out:
                out = out[sock.send(out) :]
        except BlockingIOError:
            pass
        except OSError:
            out = b""
            session.cannot_send(monotonic())
        session.sent(len(out), monotonic())
        if session.shuts_sending and not out:
            end_sending(sock)
        if session.wants_acknowledged:
            session.acknowledged(unacknowledged(sock), monotonic())
        if session.wakeups() & Wakeup.RECEIVE:
            continue  # there is another message, or room for its answer
        if wait(sock, session.wants_read, bool(out), session.deadline):
            take_in(sock, session)
        session.time_is(monotonic())
    if session.resets:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def wait(sock: socket.socket, wants_read: bool, wants_write: bool, deadline: float) -> bool:
    seconds = None if deadline == float("inf") else max(deadline - monotonic(), 0.0)
    readable, _, _ = select.select([sock] * wants_read, [sock] * wants_write, [], seconds)
    return bool(readable)


def end_sending(sock: socket.socket) -> None:
    with suppress(OSError):
        sock.shutdown(socket.SHUT_WR)


def take_in(sock: socket.socket, session: Session) -> None:
    try:
        data = sock.recv(1 << 16)
    except OSError:
        session.broken(monotonic())
    else:
        session.received(data, monotonic()) if data else session.received_eof(monotonic())


def echo(session: Session) -> None:
    try:
        while session.has_room_for_answer() and (message := session.receive()) is not EMPTY:
            assert isinstance(message, str | bytes)
            session.send(message)
    except ConnectionEnded:
        pass


def unacknowledged(sock: socket.socket) -> int:
    """How much of what we sent the system still has (Linux; elsewhere say None)."""
    size: int = struct.unpack("i", fcntl.ioctl(sock, termios.TIOCOUTQ, b"\0" * 4))[0]
    return size


if __name__ == "__main__":
    main(int(sys.argv[1]))
