"""What every test shares: coroutine tests run under Trio, with a clock that jumps where the test asks for one."""

import importlib
import importlib.util
import inspect
import os
import shutil
import signal
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import hypothesis
import pytest
import trio
import trio.testing

from wscore.codec import CLIENT, IMPLEMENTATION, LOAD_ERROR, SERVER
from wscore.session.logs import repeats

from . import raw
from .side import Side

# Where the tests stand alone, there is no package beside them: what they import has been installed.
ROOT = Path(__file__).parent.parent

# How long an example takes says more about the machine than about the code.
hypothesis.settings.register_profile("wscore", deadline=None)
hypothesis.settings.load_profile("wscore")


@pytest.fixture(autouse=True)
def nothing_was_logged_before() -> None:
    """What one test has logged is no reason to leave out what another one logs."""
    repeats.clear()


@pytest.fixture
def autojump_clock() -> trio.testing.MockClock:
    """A clock that jumps to the next deadline as soon as every task is blocked: for tests on memory streams only."""
    return trio.testing.MockClock(autojump_threshold=0)


@pytest.fixture
def mock_clock() -> trio.testing.MockClock:
    """A clock that stands still until the test calls `jump`."""
    return trio.testing.MockClock()


@pytest.fixture(params=["stream", pytest.param("auto", marks=pytest.mark.native)])
def each_transport(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """What is tested holds for servers on streams and, if they listen on sockets, for those on the reactor."""
    monkeypatch.setattr(raw, "transport_in_use", request.param)
    return request.param


CODEC_MODULES = ("masking", "utf8", "frames", "reader", "writer", "deflate")


@pytest.fixture(scope="session", params=["pure", pytest.param("native", marks=pytest.mark.native)])
def codec(request: pytest.FixtureRequest) -> SimpleNamespace:
    """The names of one twin of the codec, and `twin`, its package: a test that asks for this runs on both twins."""
    twin = f"wscore.codec.{request.param}"
    modules = [importlib.import_module(f"{twin}.{name}") for name in CODEC_MODULES]
    return SimpleNamespace(twin=twin, **{name: getattr(module, name) for module in modules for name in module.__all__})


def load_anew(name: str, twin: str, replaced: SimpleNamespace) -> ModuleType:
    """Load a module of wscore a second time, under another name, and give it other objects for some of its names."""
    spec = importlib.util.find_spec(name)
    assert spec is not None
    assert spec.origin is not None
    second = importlib.util.spec_from_file_location(f"{name}_on_{twin.rpartition('.')[2]}", spec.origin)
    assert second is not None
    assert second.loader is not None
    module = importlib.util.module_from_spec(second)
    second.loader.exec_module(module)
    vars(module).update({key: value for key, value in vars(replaced).items() if hasattr(module, key)})
    return module


@pytest.fixture(scope="session")
def protocol(codec: SimpleNamespace) -> SimpleNamespace:
    """`Connection` and `prepare` on one twin of the codec, and all public names beside them."""
    prepared = importlib.import_module("wscore.protocol.prepared")
    connection = importlib.import_module("wscore.protocol.connection")
    if connection.Reader is not codec.Reader:
        prepared = load_anew(prepared.__name__, codec.twin, codec)
        names = SimpleNamespace(**vars(codec), PreparedMessage=prepared.PreparedMessage, prepare=prepared.prepare)
        connection = load_anew(connection.__name__, codec.twin, names)
    own = {name: getattr(module, name) for module in (prepared, connection) for name in module.__all__}
    return SimpleNamespace(codec=codec, connection=connection, **own)


@pytest.fixture(params=[SERVER, CLIENT], ids=["server", "client"])
def side(protocol: SimpleNamespace, request: pytest.FixtureRequest) -> Side:
    """One role on one twin; what is tested holds for both."""
    return Side(protocol, request.param)


# A run in the background of a shell ignores Ctrl-C, and so would every program that a test starts and interrupts.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# A test that hangs must fail by itself: no test of this suite takes a tenth of this, but for the long ones.
HANGING = 120
HANGING_LONG = 3600


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--long", action="store_true", help="attack with as many as there may be: takes half an hour")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out tests of what is not here: the compiled extension, a C compiler, the sources."""
    if IMPLEMENTATION != "native" and chosen("WSCORE_REQUIRE_NATIVE"):
        raise pytest.UsageError(f"the compiled codec is required, but not in use ({LOAD_ERROR or 'not built'})")
    here = {"native": IMPLEMENTATION == "native", "compiler": has_compiler(), "checkout": (ROOT / "wscore").exists()}
    missing = [name for name, is_here in here.items() if not is_here]
    left_out = [item for item in items if any(item.get_closest_marker(name) for name in missing)]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in set(left_out)]


def has_compiler() -> bool:
    return sys.platform == "win32" or shutil.which(os.environ.get("CC", "cc").split()[0]) is not None


def chosen(name: str) -> bool:
    return os.environ.get(name, "") not in ("", "0")


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run `async def` tests in a Trio run of their own."""
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    arguments = {name: pyfuncitem.funcargs[name] for name in pyfuncitem._fixtureinfo.argnames}
    clock = next((value for value in arguments.values() if isinstance(value, trio.abc.Clock)), None)

    async def run() -> None:
        if clock is not None:
            await pyfuncitem.obj(**arguments)
            return
        with trio.fail_after(HANGING_LONG if pyfuncitem.config.getoption("--long") else HANGING):
            await pyfuncitem.obj(**arguments)

    trio.run(run, clock=clock, strict_exception_groups=True)
    return True
