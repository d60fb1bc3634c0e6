"""Pages for operators, from a process in which Trio must not run: the supervisor of workers, which goes on forking.

Decides what moves bytes on such a connection: a selector that the process waits on anyway. It is one more driver of
`ServerOpening`, with a hook that waits until what a page says has been gathered; answers are `pages`', as on every
server here.

Bounded: so many visitors at once, each with so much time to ask, to take the answer, and to go. If there is no room,
the one that has kept us waiting longest gives way to the next, without a word: silent visitors must not hide the health
of a server from whoever looks after it.
"""

import selectors
import socket
from collections.abc import Callable, Generator, Sequence
from contextlib import suppress
from math import inf
from time import monotonic

from wscore.protocol.handshake import Accept, Page, Refuse, Request
from wscore.protocol.origin import SitePolicy
from wscore.server.admission import admission_for
from wscore.server.logs import fields, logger
from wscore.server.pages import Pages
from wscore.session.opening import ServerOpening, Stage
from wscore.session.options import Options
from wscore.session.site.application import Answer
from wscore.session.site.statistics import Tally

__all__ = ["MAX_VISITORS", "PageServer", "only_pages"]

MAX_VISITORS = 32
TIME_TO_ASK = 10.0
TIME_TO_TAKE = 10.0
TIME_TO_GO = 2.0
# How long a visitor keeps its place whoever else wants it.
GRACE = 0.5
# After an error of `accept`: the system may be short of descriptors or memory.
PAUSE = 1.0

_RECEIVE_SIZE = 1 << 14


def only_pages(request: Request) -> Accept | Refuse | Page:
    """What `on_request` says where there are pages and nothing else."""
    return Refuse(404, "There is no WebSocket here.") if request.is_upgrade else Page()


class _Gathering:
    """To be awaited once: whoever runs what awaits it goes on when all is gathered."""

    def __await__(self) -> Generator[None, None, None]:
        yield


async def _once_gathered(request: Request) -> Accept | Refuse | Page:
    answer = only_pages(request)
    if isinstance(answer, Page):
        await _Gathering()
    return answer


class _Visitor:
    """One connection: it asks, waits for what is gathered, takes its answer and goes."""

    __slots__ = ("answer", "deadline", "opening", "since", "sock", "step", "thinking")

    def __init__(self, sock: socket.socket, opening: ServerOpening, step: Callable[["_Visitor"], None]) -> None:
        self.sock = sock
        self.opening = opening
        self.thinking: Generator[None, None, Answer] | None = None
        self.answer = b""
        self.take(step, TIME_TO_ASK)

    def take(self, step: Callable[["_Visitor"], None], seconds: float) -> None:
        """What is next, and for how long."""
        self.step = step
        self.since = monotonic()
        self.deadline = self.since + seconds


class PageServer:
    """Answers on listening sockets with `pages`, as part of a loop around `selector`.

    The loop calls the `data` of each key that is ready, and `expire` when the time `deadline` has come. Before a page
    is written, `gather(callback)` is called, which sees to it that `callback` is called soon, once.
    """

    def __init__(
        self,
        selector: selectors.BaseSelector,
        sockets: Sequence[socket.socket],
        pages: Pages,
        gather: Callable[[Callable[[], None]], None],
    ) -> None:
        self._selector = selector
        self._sockets = sockets
        self._gather = gather
        self._visitors: set[_Visitor] = set()
        self._accepts = False
        self._paused_until: float | None = None
        sites = SitePolicy()
        sites.bind([sock.getsockname() for sock in sockets])
        self._admission = admission_for(
            Options(),
            subprotocols=(),
            sites=sites,
            authorize=None,
            on_request=_once_gathered,
            documents=pages,
            tally=Tally(),
        )
        for sock in sockets:
            sock.setblocking(False)
        self._go_on_accepting()

    @property
    def deadline(self) -> float | None:
        """When to call `expire`."""
        times = [visitor.deadline for visitor in self._visitors]
        times += [self._paused_until] if self._paused_until is not None else []
        return min(times, default=None)

    def expire(self, now: float) -> None:
        """Look after whoever has taken too long."""
        for visitor in [each for each in self._visitors if each.deadline <= now]:
            if visitor.step == self._listen:
                visitor.opening.time_is(inf)
                self._act(visitor)
            else:
                self._close(visitor)
        if self._paused_until is not None and self._paused_until <= now:
            self._paused_until = None
            if len(self._visitors) >= MAX_VISITORS:
                self._make_room()
            else:
                self._go_on_accepting()

    def close(self) -> None:
        """Close every socket, without a word: of the process alone, if there are others that have them."""
        for visitor in self._visitors:
            self._forget_question(visitor)
            visitor.sock.close()
        for sock in self._sockets:
            sock.close()

    # Accepting

    def _go_on_accepting(self) -> None:
        if not self._accepts and self._paused_until is None:
            self._accepts = True
            for sock in self._sockets:
                self._selector.register(sock, selectors.EVENT_READ, lambda sock=sock: self._accept(sock))

    def _stop_accepting(self) -> None:
        self._accepts = False
        for sock in self._sockets:
            self._selector.unregister(sock)

    def _accept(self, listening: socket.socket) -> None:
        if not self._accepts:  # since this turn began
            return
        try:
            sock, remote = listening.accept()
        except (BlockingIOError, ConnectionError):
            return
        except OSError as error:
            facts = fields(kind="accepting_pauses: metrics", event="accepting_pauses")
            logger.warning("accepting pauses on the address of the metrics: %s", error.strerror, extra=facts)
            self._paused_until = monotonic() + PAUSE
            self._stop_accepting()
            return
        sock.setblocking(False)
        opening = ServerOpening(self._admission, listening.getsockname(), remote, monotonic())
        visitor = _Visitor(sock, opening, self._listen)
        self._visitors.add(visitor)
        self._selector.register(sock, selectors.EVENT_READ, lambda: self._go_on(visitor))
        if len(self._visitors) >= MAX_VISITORS:
            self._make_room()

    def _make_room(self) -> None:
        """Close the visitor that has kept us waiting longest, or accept no more until it has had its time."""
        keeps_us_waiting = (each for each in self._visitors if each.step != self._wait)
        oldest = min(keeps_us_waiting, key=lambda each: each.since, default=None)
        if oldest is not None and oldest.since + GRACE <= monotonic():
            self._close(oldest)
            return
        if self._accepts:
            self._stop_accepting()
        self._paused_until = monotonic() + PAUSE if oldest is None else oldest.since + GRACE

    # One visitor

    def _go_on(self, visitor: _Visitor) -> None:
        try:
            visitor.step(visitor)
        except BlockingIOError:
            pass
        except OSError:
            self._close(visitor)

    def _listen(self, visitor: _Visitor) -> None:
        data = visitor.sock.recv(_RECEIVE_SIZE)
        if data:
            visitor.opening.received(data)
        else:
            visitor.opening.received_eof()
        self._act(visitor)

    def _act(self, visitor: _Visitor) -> None:
        """Do what the opening asks for."""
        opening = visitor.opening
        thinking = opening.question()
        if thinking is not None:
            visitor.thinking = thinking.__await__()
            self._selector.unregister(visitor.sock)
            self._go_on_thinking(visitor)
        elif opening.stage is Stage.LINGER:
            self._say(visitor, opening.output())
        elif opening.stage >= Stage.OPEN:  # nothing is opened here
            self._close(visitor)

    def _go_on_thinking(self, visitor: _Visitor) -> None:
        """Until all is gathered, or to the answer."""
        assert visitor.thinking is not None
        try:
            next(visitor.thinking)
        except StopIteration as end:
            visitor.thinking = None
            visitor.opening.answered(end.value)
            self._selector.register(visitor.sock, selectors.EVENT_WRITE, lambda: self._go_on(visitor))
            self._act(visitor)
        else:
            visitor.take(self._wait, TIME_TO_TAKE)
            self._gather(lambda: self._gathered(visitor))

    def _wait(self, visitor: _Visitor) -> None:
        """Nothing is read meanwhile."""

    def _gathered(self, visitor: _Visitor) -> None:
        if visitor in self._visitors:
            self._go_on_thinking(visitor)

    def _say(self, visitor: _Visitor, answer: bytes) -> None:
        visitor.answer = answer
        visitor.take(self._speak, TIME_TO_TAKE)
        self._selector.modify(visitor.sock, selectors.EVENT_WRITE, lambda: self._go_on(visitor))

    def _speak(self, visitor: _Visitor) -> None:
        sent = visitor.sock.send(visitor.answer)
        visitor.since = monotonic()
        visitor.answer = visitor.answer[sent:]
        if not visitor.answer:
            visitor.sock.shutdown(socket.SHUT_WR)
            visitor.take(self._linger, TIME_TO_GO)
            self._selector.modify(visitor.sock, selectors.EVENT_READ, lambda: self._go_on(visitor))

    def _linger(self, visitor: _Visitor) -> None:
        """What still comes is thrown away, so that no reset overtakes the answer (RFC 9112 section 9.6)."""
        if not visitor.sock.recv(_RECEIVE_SIZE):
            self._close(visitor)

    @staticmethod
    def _forget_question(visitor: _Visitor) -> None:
        if visitor.thinking is not None:
            visitor.thinking.close()

    def _close(self, visitor: _Visitor) -> None:
        self._visitors.discard(visitor)
        self._forget_question(visitor)
        with suppress(KeyError, ValueError):  # it is not registered while it waits
            self._selector.unregister(visitor.sock)
        visitor.sock.close()
        if len(self._visitors) < MAX_VISITORS:
            self._paused_until = None
        self._go_on_accepting()
