"""Pages from a selector's loop: real sockets, slow visitors, vanishing ones, and more than there is room for."""

import selectors
import socket
import threading
from collections.abc import Callable, Iterator
from time import monotonic

import pytest

from wscore.server import page_server
from wscore.server.page_server import MAX_VISITORS, PageServer
from wscore.server.pages import Document

LARGE = b"x" * (32 << 20)  # more than the system's buffers take
REQUEST = b"GET /small HTTP/1.1\r\nHost: localhost\r\n\r\n"


class Site:
    """A page server, and its loop in a thread. With `holds_back`, `release` lets the pages go that were asked for."""

    def __init__(self, holds_back: bool = False) -> None:
        self.selector = selectors.DefaultSelector()
        listening = socket.create_server(("127.0.0.1", 0), backlog=100)
        self.address = listening.getsockname()
        self.asked = threading.Semaphore(0)
        self._holds_back = holds_back
        self._held: list[Callable[[], None]] = []
        self._ours, self._loops = socket.socketpair()
        self._loops.setblocking(False)
        self._goes_on = True
        self.selector.register(self._loops, selectors.EVENT_READ, self._told)
        pages = {
            "/small": lambda: Document("text/plain", b"small"),
            "/large": lambda: Document("text/plain", LARGE),
        }
        self.server = PageServer(self.selector, [listening], pages, self._gather)
        self.thread = threading.Thread(target=self._loop)
        self.thread.start()

    def _loop(self) -> None:
        while self._goes_on:
            deadline = self.server.deadline
            for key, _ in self.selector.select(None if deadline is None else max(0, deadline - monotonic())):
                key.data()
            self.server.expire(monotonic())
        self.server.close()
        self.selector.close()

    def _gather(self, callback: Callable[[], None]) -> None:
        if self._holds_back:
            self._held.append(callback)
        else:
            callback()
        self.asked.release()

    def _told(self) -> None:
        self._goes_on = b"stop" not in self._loops.recv(100)
        for callback in self._held:
            callback()
        self._held.clear()

    def release(self) -> None:
        self._ours.send(b"go on")

    def stop(self) -> None:
        self._ours.send(b"stop")
        self.thread.join()
        self._ours.close()
        self._loops.close()

    def dial(self) -> socket.socket:
        sock = socket.create_connection(self.address)
        sock.settimeout(60)
        return sock


@pytest.fixture
def site() -> Iterator[Site]:
    site = Site()
    yield site
    site.stop()


def rest_of(sock: socket.socket) -> bytes:
    received = bytearray()
    while data := sock.recv(1 << 16):
        received += data
    return bytes(received)


def status_of(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1])


def ask(site: Site, request: bytes) -> bytes:
    with site.dial() as sock:
        sock.sendall(request)
        return rest_of(sock)


def test_a_page_is_answered_and_the_connection_closed(site: Site) -> None:
    answer = ask(site, REQUEST)
    assert status_of(answer) == 200
    assert answer.endswith(b"\r\n\r\nsmall")
    assert b"\r\nConnection: close\r\n" in answer


def test_a_request_may_come_byte_by_byte(site: Site) -> None:
    with site.dial() as sock:
        for byte in REQUEST:
            sock.sendall(bytes([byte]))
        assert status_of(rest_of(sock)) == 200


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"GET /other HTTP/1.1\r\nHost: localhost\r\n\r\n", 404),
        (b"POST /small HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n", 405),
        (b"GET /small HTTP/1.1\r\nHost: evil.example\r\n\r\n", 403),
        (b"nonsense\r\n\r\n", 400),
        (b"GET /" + b"x" * 20_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n", 414),
        (
            b"GET /small HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n",
            404,
        ),
    ],
)
def test_other_requests_are_refused(site: Site, request_: bytes, status: int) -> None:
    assert status_of(ask(site, request_)) == status


def test_half_a_request_gets_400_and_none_gets_nothing(site: Site) -> None:
    for sent, received in ((b"GET /", b"HTTP/1.1 400 "), (b"", b"")):
        with site.dial() as sock:
            sock.sendall(sent)
            sock.shutdown(socket.SHUT_WR)
            assert rest_of(sock)[: len(b"HTTP/1.1 400 ")] == received


def test_a_large_page_reaches_a_visitor_that_takes_its_time(site: Site) -> None:
    with site.dial() as sock:
        sock.sendall(REQUEST.replace(b"small", b"large"))
        assert status_of(ask(site, REQUEST)) == 200  # others do not wait for it
        assert rest_of(sock).endswith(LARGE)


def test_a_visitor_that_does_not_ask_gets_408(monkeypatch: pytest.MonkeyPatch, site: Site) -> None:
    monkeypatch.setattr(page_server, "TIME_TO_ASK", 0.05)
    with site.dial() as sock:
        sock.sendall(b"GET /small HT")
        assert status_of(rest_of(sock)) == 408


def test_a_visitor_that_does_not_take_its_answer_is_cut_off(monkeypatch: pytest.MonkeyPatch, site: Site) -> None:
    monkeypatch.setattr(page_server, "TIME_TO_TAKE", 0.05)
    with site.dial() as sock:
        sock.sendall(REQUEST.replace(b"small", b"large"))
        assert site.asked.acquire(timeout=60)
        while site.server._visitors:  # nothing is read here meanwhile
            threading.Event().wait(0.01)


def test_a_visitor_that_does_not_go_is_closed(monkeypatch: pytest.MonkeyPatch, site: Site) -> None:
    monkeypatch.setattr(page_server, "TIME_TO_GO", 0.05)
    with site.dial() as sock:
        sock.sendall(REQUEST)
        assert status_of(rest_of(sock)) == 200
        while site.server._visitors:
            threading.Event().wait(0.01)


def test_silent_visitors_give_way(monkeypatch: pytest.MonkeyPatch, site: Site) -> None:
    monkeypatch.setattr(page_server, "TIME_TO_ASK", 600)
    silent = [site.dial() for _ in range(MAX_VISITORS + 8)]
    for _ in range(3):
        assert status_of(ask(site, REQUEST)) == 200
    assert rest_of(silent[0]) == b""
    for sock in silent:
        sock.close()


def test_so_do_those_who_do_not_take_their_answer_and_those_who_do_not_go(
    monkeypatch: pytest.MonkeyPatch, site: Site
) -> None:
    monkeypatch.setattr(page_server, "TIME_TO_TAKE", 600)
    monkeypatch.setattr(page_server, "TIME_TO_GO", 600)
    slow = []
    # One after the other: whoever has not asked after half a second gives way, too, once all places are taken.
    for number in range(MAX_VISITORS):
        slow.append(sock := site.dial())
        sock.sendall(REQUEST.replace(b"small", b"large") if number % 2 else REQUEST)
        assert site.asked.acquire(timeout=60)
    assert status_of(ask(site, REQUEST)) == 200
    for sock in slow:
        sock.close()


def test_more_visitors_wait_until_one_has_gone(monkeypatch: pytest.MonkeyPatch, site: Site) -> None:
    monkeypatch.setattr(page_server, "GRACE", 600)
    silent = [site.dial() for _ in range(MAX_VISITORS)]
    with site.dial() as late:
        late.sendall(REQUEST)
        late.settimeout(0.2)
        with pytest.raises(TimeoutError):
            late.recv(1)
        late.settimeout(60)
        silent.pop().close()
        assert status_of(rest_of(late)) == 200
    for sock in silent:
        sock.close()


def test_pages_wait_for_what_they_are_made_of_and_visitors_may_vanish_meanwhile() -> None:
    site = Site(holds_back=True)
    try:
        with site.dial() as patient:
            patient.sendall(REQUEST)
            with site.dial() as hasty:
                hasty.sendall(REQUEST)
                assert site.asked.acquire(timeout=60)
                assert site.asked.acquire(timeout=60)
            patient.settimeout(0.1)
            with pytest.raises(TimeoutError):
                patient.recv(1)
            patient.settimeout(60)
            site.release()
            assert status_of(rest_of(patient)) == 200
    finally:
        site.stop()


def test_a_page_that_is_never_gathered_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page_server, "TIME_TO_TAKE", 0.05)
    site = Site(holds_back=True)
    try:
        with site.dial() as sock:
            sock.sendall(REQUEST)
            assert rest_of(sock) == b""
            site.release()  # which comes too late
        assert site.thread.is_alive()
    finally:
        site.stop()
