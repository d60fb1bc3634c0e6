"""Misuses every compiled class of the modules that are named on the command line, which work on sockets: as `misuse`
does for the codec, but without numbers that may be a descriptor's, and in a Trio run or a loop of asyncio.

Instances are made by `__new__`, by a subclass without `__init__`, of nothing or of None; every attribute is looked at
and set, everything that can be called is called with what does not belong there. Exceptions are right; a crash, which
faulthandler tells, is not.
"""

import asyncio
import faulthandler
import importlib
import inspect
import itertools
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from contextvars import copy_context
from types import ModuleType
from typing import Any

import trio

from wscore import CLIENT, SERVER, Connection

# No descriptor that is open, or may be: it would be closed.
WRONG: tuple[Any, ...] = (None, b"x", "x", [], [None], ["x"], (), 1.5, -1, object(), True)
MOST_ARGUMENTS = 3


def classes_of(module: ModuleType) -> Iterator[type]:
    """The classes that this module has made."""
    for value in vars(module).values():
        if isinstance(value, type) and value.__module__ == module.__name__:
            yield value


def without_init(kind: type) -> list[type]:
    with suppress(TypeError):  # it wants no subclasses
        return [kind, type("Careless", (kind,), {"__init__": lambda self, *arguments, **options: None})]
    return [kind]


def careless_instances(kind: type, proper: Iterable[tuple[Any, ...]]) -> Iterator[Any]:
    """What can be made of a class without doing what it says; some get what `__new__` wants."""
    for made in without_init(kind):
        for count in range(8):
            with suppress(Exception):
                yield made.__new__(made, *[None] * count)
            with suppress(Exception):
                yield made(*[None] * count)
        for arguments in proper:
            with suppress(Exception):
                yield made.__new__(made, *arguments)
        with suppress(Exception):
            yield object.__new__(made)


def misuse(instance: Any) -> None:
    for name in dir(instance):
        if name in ("__class__", "__new__", "__init_subclass__", "__subclasshook__", "__reduce_ex__", "__dir__"):
            continue
        with suppress(Exception):
            use(getattr(instance, name))
        for value in WRONG:
            if not name.startswith("__"):
                with suppress(Exception):
                    setattr(instance, name, value)
                with suppress(Exception):
                    use(getattr(instance, name))


def use(attribute: Any) -> None:
    if not callable(attribute) or inspect.isclass(attribute):
        return
    for count in range(MOST_ARGUMENTS + 1):
        for arguments in itertools.product(WRONG if count < MOST_ARGUMENTS else WRONG[:4], repeat=count):
            with suppress(Exception):
                step(attribute(*arguments))


def step(result: Any) -> None:
    """Await it, for one step."""
    if hasattr(result, "send") and hasattr(result, "close"):
        with suppress(Exception):
            result.send(None)
        result.close()


async def arguments_of_the_reactor() -> list[tuple[Any, ...]]:
    from wscore.session.options import Options
    from wscore.transport.reactor.link import Terms
    from wscore.transport.records import Opening
    from wscore.transport.trio_glue import pace_of_this_run

    terms = Terms(pace_of_this_run(), copy_context(), lambda *_: None, Options(), None, lambda *_: None)
    native = [(Connection(role), terms, Opening()) for role in (SERVER, CLIENT)]
    return [*native, (lambda: None, lambda: None, 0.0), (None, terms, None), (Connection(SERVER), None, None)]


async def misuse_all(modules: Iterable[str], proper: Callable[[], Any]) -> None:
    made = 0
    for name in modules:
        for kind in classes_of(importlib.import_module(name)):
            for instance in careless_instances(kind, await proper()):
                made += 1
                misuse(instance)
    print("survived", made)


async def nothing() -> list[tuple[Any, ...]]:
    return []


if __name__ == "__main__":
    faulthandler.enable()
    warnings.simplefilter("ignore")
    sys.unraisablehook = lambda *_: None
    if "asyncio" in sys.argv[1]:
        asyncio.run(misuse_all(sys.argv[1:], nothing))
    else:
        trio.run(misuse_all, sys.argv[1:], arguments_of_the_reactor)
