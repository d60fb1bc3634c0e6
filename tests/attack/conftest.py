"""How much of everything there is in the short form, which is part of every run, and in the long one."""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest
import trustme


@dataclass(frozen=True)
class Scale:
    """How many, of whom."""

    slow_handshakes: int = 500
    deaf: int = 100
    silent: int = 200
    # Each end takes a stream, with tasks of its own, about a millisecond, and all come to theirs at once.
    silent_streams: int = 200
    broken: int = 200
    wave: int = 200
    connects: int = 2000
    # Seconds that a server waits for its peers: no less than an honest one may take where many are on one processor.
    patience: float = 2.0
    # Seconds within which 99 of 100 honest messages are answered; only where the machine is known to be idle.
    p99: float | None = None


LONG = Scale(
    slow_handshakes=5000,
    deaf=1000,
    silent=5000,
    silent_streams=2000,
    broken=5000,
    wave=5000,
    connects=100_000,
    patience=10.0,
    p99=1.0,
)

# Open files that the long form takes, here and in the server.
DESCRIPTORS = 12_000


@pytest.fixture
def scale(request: pytest.FixtureRequest) -> Iterator[Scale]:
    """How many there are in this run."""
    if not request.config.getoption("--long"):
        yield Scale()
        return
    import resource  # Unix only

    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(DESCRIPTORS, before[0]), before[1]))
    yield LONG
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


@pytest.fixture(params=["stream", pytest.param("auto", marks=pytest.mark.native)])
def transport(request: pytest.FixtureRequest) -> str:
    """What moves the server's bytes."""
    name: str = request.param
    return name


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    return trustme.CA()
