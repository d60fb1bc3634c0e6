"""Coroutine tests of this folder run on asyncio's own loop and on uvloop, with both twins of the link."""

import asyncio
import importlib
import importlib.util
import inspect
import os
import sys
from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from wscore import codec

from .peers import Adapter

HANGING = 60
HOME = "wscore.adapters.asyncio"


def load(twin: str) -> SimpleNamespace:
    """The adapter's names, on one twin of the link, loaded anew."""
    kept = {name: sys.modules.pop(name) for name in list(sys.modules) if name.startswith(HOME)}
    implementation, codec.IMPLEMENTATION = codec.IMPLEMENTATION, twin
    try:
        module = importlib.import_module(HOME)
        endpoint = importlib.import_module(f"{HOME}.endpoint")
        logs = importlib.import_module(f"{HOME}.logs")
        wire = importlib.import_module(f"{HOME}.wire")
        assert wire.Link.__module__ == f"{HOME}.{twin}_link"
        public = {name: getattr(module, name) for name in module.__all__}
        return SimpleNamespace(twin=twin, endpoint=endpoint, logs=logs, **public)
    finally:
        codec.IMPLEMENTATION = implementation
        for name in [name for name in sys.modules if name.startswith(HOME)]:
            del sys.modules[name]
        sys.modules.update(kept)


@pytest.fixture(scope="session", params=["pure", pytest.param("native", marks=pytest.mark.native)])
def names(request: pytest.FixtureRequest) -> SimpleNamespace:
    return load(request.param)


@pytest.fixture(params=["asyncio", "uvloop"])
def loop_kind(request: pytest.FixtureRequest) -> str:
    if request.param == "uvloop" and importlib.util.find_spec("uvloop") is None:
        if os.environ.get("CI") and sys.platform != "win32":
            pytest.fail("uvloop is not installed")
        pytest.skip("uvloop is not installed")
    return str(request.param)


@pytest.fixture
def aio(names: SimpleNamespace, loop_kind: str) -> Iterator[Adapter]:
    """The adapter under test."""
    adapter = Adapter(names, loop_kind)
    yield adapter
    assert adapter.complaints == []


@pytest.fixture
def clocked(names: SimpleNamespace) -> Iterator[Adapter]:
    """The adapter under test, on a loop whose clock the test sets: asyncio's own, since uvloop has none such."""
    adapter = Adapter(names, "asyncio")
    yield adapter
    assert adapter.complaints == []


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    arguments = {name: pyfuncitem.funcargs[name] for name in pyfuncitem._fixtureinfo.argnames}
    adapter = arguments.get("aio") or arguments["clocked"]

    async def run() -> None:
        asyncio.get_running_loop().set_exception_handler(adapter.complain)
        async with asyncio.timeout(HANGING):
            await pyfuncitem.obj(**arguments)

    with asyncio.Runner(loop_factory=adapter.new_loop) as runner:
        runner.run(run())
    return True
