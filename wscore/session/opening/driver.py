"""What drivers of a `ServerOpening` do alike whose event loop calls them back.

Decides after which call of the loop what is done. How it is done, and how time passes, is the driver's.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from .server import ServerOpening
from .stages import Stage

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from typing import Any

    from ..site.application import Answer

__all__ = ["Driver"]


class Driver(ABC):
    """One connection on its way in; `opening` is None before that has begun, and once it has ended."""

    __slots__ = ("opening",)

    def __init__(self) -> None:
        self.opening: ServerOpening | None = None

    def start(self, opening: ServerOpening) -> None:
        """It begins; something may be to be said without listening."""
        self.opening = opening
        self._act(opening)

    # What has happened

    def tell(self, happened: Callable[..., object], *arguments: Any) -> None:
        """Call a method of `ServerOpening`, and do what it asks for then. Raises what the driver's methods raise."""
        opening = self.opening
        if opening is not None:
            before = opening.stage
            happened(opening, *arguments)
            if opening.stage is not before or before is Stage.HOOK:
                self._act(opening)

    def received(self, data: bytes) -> None:
        """Bytes have come; b"" for their end."""
        if data:
            self.tell(ServerOpening.received, data)
        else:
            self.tell(ServerOpening.received_eof)

    def turn_away(self) -> None:
        """The server closes."""
        self.tell(ServerOpening.turn_away)

    def give_way(self) -> None:
        """Others need the place."""
        self.tell(ServerOpening.give_way)

    def gone(self, reason: str = "gone") -> None:
        """The connection is closed, or about to be: there is nothing more to be done."""
        if self.opening is not None:
            self.stop_thinking()
            self.opening.closed(reason)

    def _act(self, opening: ServerOpening) -> None:
        stage = opening.stage
        if stage >= Stage.OPEN:
            self.stop_thinking()
            if stage is Stage.OPEN:
                self.open(opening)
            elif stage is Stage.LINGER:
                self.say_last(opening.output())
            elif stage is Stage.CLOSE:
                self.close(opening.output())
            else:
                self.reset()
            self.opening = None
        elif stage is Stage.TLS:
            self.start_tls(opening.rest)
        elif stage is Stage.HOOK:
            thinking = opening.question()
            if thinking is not None:
                self.think(thinking)
            if not opening.wants_read:
                self.pause()

    # What is to be done

    @abstractmethod
    def open(self, opening: ServerOpening) -> None:
        """Send the output, and become a WebSocket."""

    @abstractmethod
    def say_last(self, output: bytes) -> None:
        """Send that, then close so that it can be read."""

    @abstractmethod
    def close(self, output: bytes) -> None:
        """Send of that what leaves at once, then close."""

    @abstractmethod
    def reset(self) -> None:
        """Close with a reset."""

    @abstractmethod
    def start_tls(self, rest: bytes) -> None:
        """Speak TLS from here on; `rest` has come of it already. Not called where TLS is done below."""

    @abstractmethod
    def think(self, thinking: Awaitable[Answer]) -> None:
        """Await that, and tell `ServerOpening.answered` the outcome."""

    @abstractmethod
    def stop_thinking(self) -> None:
        """Await it no more, if it is awaited."""

    @abstractmethod
    def pause(self) -> None:
        """Read no more for now."""
