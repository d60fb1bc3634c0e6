"""The run of a load, from the first connection to the last: open, warm up, measure, wait for the last replies, close.

Decides what waits for what. One task moves all bytes, in turns over a selector of its own: Trio's way, a task and a
registration for each wait, would cost the generator more than the messages. While connections are being opened, which
are tasks, it waits for the selector as Trio waits for a socket. From then on it waits in the selector itself, and gives
way to the other tasks (signals, the clock of the run, progress) a hundred times a second.

Refuses to know when messages are sent, and what is said about the results.
"""

import select
import selectors
import time
from collections.abc import AsyncIterator

import trio

from wscore.cli.bench.line import Line, Shared, TlsLine
from wscore.cli.bench.loads import Load
from wscore.cli.bench.opening import Opened, Opener
from wscore.cli.bench.tally import Tally
from wscore.cli.options import Settings
from wscore.cli.reaching import failure_of
from wscore.protocol.handshake import HandshakeError

_SLICE = 0.01  # seconds between two chances for the other tasks
_MILLISECOND = 0.001
_MOST_FOR_SELECT = 1024  # FD_SETSIZE: only descriptors below can be waited for so
_CLOSING_TIME = 2.0
_OPENING_AT_A_TIME = 64


class Engine:
    """One run. `phase` says where it is; `tally` has what it found out."""

    def __init__(self, settings: Settings, opener: Opener, load: Load, shared: Shared) -> None:
        self.phase = "connecting"
        self.tally: Tally = shared.tally
        self.is_interrupted = False
        self.lines: list[Line] = []
        self.open_lines = 0
        self._settings = settings
        self._opener = opener
        self._load = load
        self._shared = shared
        self._selector = shared.selector
        self._descriptor: int = shared.selector.fileno()  # type: ignore[attr-defined]
        self._begun = trio.current_time()
        self._is_opening = True
        self._has_given_way = 0.0
        self._waiting = trio.CancelScope()  # for whatever the run waits for: it ends early when this is cancelled
        self._is_quiet = trio.Event()
        self._all_ended = trio.Event()
        shared.on_replies = load.replied
        shared.on_end = self._ended

    @property
    def elapsed(self) -> float:
        """Seconds since the run began."""
        return trio.current_time() - self._begun

    @property
    def sent(self) -> int:
        """How many messages have been sent so far."""
        return sum(line.sent for line in self.lines)

    @property
    def answered(self) -> int:
        """How many of them have been answered."""
        return sum(line.answered for line in self.lines)

    async def run(self) -> None:
        """Do all of it. Cancelled, all connections are closed at once."""
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._turn_for_ever)
                await self._go_through_phases()
                nursery.cancel_scope.cancel()
        finally:
            self._drop_all()

    async def obey(self, signals: AsyncIterator[int]) -> None:
        """End early at the first signal, and at each further one whatever is waited for then."""
        async for _ in signals:
            self.is_interrupted = True
            self._waiting.cancel()

    # The phases

    async def _go_through_phases(self) -> None:
        with self._waiting:
            await self._open_all()
            if self.open_lines:
                await self._measure()
        if self.tally.begin is not None:
            self.tally.end_measuring(self.answered)
        await self._wait_for_replies()
        await self._close_all()

    async def _open_all(self) -> None:
        pause = self._settings["ramp_up"] / self._settings["connections"]
        at_a_time = trio.CapacityLimiter(_OPENING_AT_A_TIME)
        try:
            async with trio.open_nursery() as nursery:
                for number in range(self._settings["connections"]):
                    nursery.start_soon(self._open_one, number, self._begun + number * pause, at_a_time)
        finally:
            self._is_opening = False

    async def _open_one(self, number: int, when: float, at_a_time: trio.CapacityLimiter) -> None:
        await trio.sleep_until(when)
        async with at_a_time:
            begin = self.tally.clock()
            try:
                opened = await self._opener.open()
            except (OSError, HandshakeError, trio.TooSlowError) as error:
                self.tally.count_failure(failure_of(error).sentence)
                return
        self.tally.count_opening(self.tally.clock() - begin, opened.compresses)
        self._begin_on(number, opened)

    def _begin_on(self, number: int, opened: Opened) -> None:
        kind = TlsLine if self._opener.uri.secure else Line
        line = kind(number, opened.connection, opened.socket, self._shared)
        self.lines.append(line)
        self.open_lines += 1
        line.take(opened.connection.receive_data(opened.rest), self.tally.clock())
        self._load.opened(line)

    async def _measure(self) -> None:
        self.phase = "warming up"
        await trio.sleep(self._settings["warm_up"])
        self.tally.begin_measuring(self.answered)
        self.phase = "measuring"
        await trio.sleep(self._settings["duration"])

    async def _wait_for_replies(self) -> None:
        self.phase = "waiting for replies"
        self._load.stop()
        with trio.move_on_after(self._settings["timeout"]) as self._waiting:
            if not self._is_quiet_now():
                await self._is_quiet.wait()

    async def _close_all(self) -> None:
        self.phase = "closing"
        for line in self.lines:
            line.close()
        with trio.move_on_after(_CLOSING_TIME) as self._waiting:
            if self.open_lines:
                await self._all_ended.wait()

    def _drop_all(self) -> None:
        for line in self.lines:
            line.drop()
        self._selector.close()

    # The turns

    async def _turn_for_ever(self) -> None:
        while True:
            for key, events in await self._ready(self._load.turn()):
                line: Line = key.data
                if events & selectors.EVENT_READ:
                    line.receive()
                if events & selectors.EVENT_WRITE and line.is_open:
                    line.go_on()
                    self._load.writable(line)

    async def _ready(self, seconds: float) -> list[tuple[selectors.SelectorKey, int]]:
        """Wait until a socket is ready, at most so long; return those that are."""
        if self._is_opening or not self.open_lines:
            with trio.move_on_after(seconds):
                await trio.lowlevel.wait_readable(self._descriptor)
        else:
            await self._give_way()
            if seconds >= _SLICE:
                return self._selector.select(_SLICE)
            self._wait_briefly(seconds)
        return self._selector.select(0)

    def _wait_briefly(self, seconds: float) -> None:
        """Wait until a socket is ready, less than a slice, and not up to a millisecond longer as epoll would."""
        if seconds and self._descriptor < _MOST_FOR_SELECT:
            select.select([self._descriptor], [], [], seconds)
        elif seconds >= _MILLISECOND:
            # Rounded down: for the rest we do not wait, but look again and again.
            self._selector.select(seconds - _MILLISECOND)

    async def _give_way(self) -> None:
        now = time.monotonic()
        if now - self._has_given_way < _SLICE:
            return
        if self._load.is_stopped and self._is_quiet_now():
            self._is_quiet.set()
        await trio.lowlevel.checkpoint()
        self._has_given_way = time.monotonic()

    def _is_quiet_now(self) -> bool:
        """Whether no reply, and no message that is due, is to be waited for any more."""
        return not any(line.is_open and (line.in_flight or self._load.unsent(line)) for line in self.lines)

    def _ended(self, line: Line) -> None:
        self.open_lines -= 1
        if not self.open_lines and not self._is_opening:
            self._all_ended.set()
            self._is_quiet.set()
            if self.phase in ("warming up", "measuring"):
                self._waiting.cancel()
