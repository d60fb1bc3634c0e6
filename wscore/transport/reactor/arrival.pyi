from collections.abc import Callable
from socket import socket
from typing import Protocol, Self, type_check_only

from typing_extensions import disjoint_base

from .engine import Reactor, Source
from .wire import Tls, Wire

__all__ = ["Arrival", "Listening"]

@type_check_only
class Guest(Protocol):
    """Who decides about one connection; may call every method of its `Arrival`."""

    def received(self, data: bytes) -> None:
        """Bytes have come; b"" for their end."""
    def tls_is_up(self) -> None:
        """TLS has come about."""
    def tls_failed(self, error: OSError) -> None:
        """TLS did not come about; what OpenSSL has to say about that is said, and the connection is closed."""
    def expired(self) -> None:
        """The time that `call_at` was given has come."""
    def closed(self) -> None:
        """It is closed, whoever did that; nothing else is called after this."""
    def failed(self, error: BaseException) -> None:
        """One of these methods has raised; the connection is closed."""

@disjoint_base
class Listening(Source):
    def __new__(
        cls,
        reactor: Reactor,
        sock: socket,
        *,
        take: Callable[[int, object, object], object],
        is_full: Callable[[], bool],
        exhausted: Callable[[OSError], float],
        at_failure: Callable[[BaseException], object],
    ) -> Self: ...
    def go_on(self) -> None: ...
    def close(self) -> None: ...

@disjoint_base
class Arrival(Wire):
    def __new__(cls, reactor: Reactor, fd: int, tls: Tls | None = None, guest: Guest | None = None) -> Self: ...
    @property
    def is_encrypted(self) -> bool | None: ...
    def call_at(self, when: float) -> None: ...
    def pause(self) -> None: ...
    def start_tls(self, tls: Tls, rest: bytes) -> None: ...
    def say(self, data: bytes) -> None: ...
    def say_last(self, data: bytes) -> None: ...
    def close(self) -> None: ...
    def cut(self) -> None: ...
