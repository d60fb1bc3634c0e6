"""What the user gives `wscore serve` by name: a handler, and functions beside it.

Decides how `module:name` becomes an object, and says in a sentence why it does not: the module is not there, or fails
(where, and how), or has no such name, or what has the name cannot be meant. The current directory comes first where
modules are looked for.

Refuses to know what is done with them.
"""

import inspect
import os
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any

from wscore._extras import MissingExtra
from wscore.cli import Failure
from wscore.cli.values import Reference

__all__ = ["loaded"]


def loaded(keywords: Mapping[str, Any]) -> dict[str, Any]:
    """Return `keywords` with what each `Reference` among them names. Raises `Failure` if one cannot be had."""
    return {name: _load(name, value) if isinstance(value, Reference) else value for name, value in keywords.items()}


def _load(keyword: str, reference: Reference) -> Any:
    found: Any = _imported(reference)
    for part in reference.name.split("."):
        if not hasattr(found, part):
            raise Failure(f"cannot use {reference}: there is no {part!r} in {reference.module}", 2)
        found = getattr(found, part)
    if not callable(found):
        raise Failure(f"cannot use {reference}: it cannot be called", 2)
    if keyword in _MISTAKES and (mistake := _MISTAKES[keyword](found)):
        raise Failure(f"cannot use {reference}: {mistake}", 2)
    arguments = _ARGUMENTS.get(keyword)
    if arguments and not _takes(found, arguments):
        raise Failure(f"cannot use {reference}: it cannot be called with {' and '.join(arguments)}", 2)
    return found


def _imported(reference: Reference) -> object:
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        return import_module(reference.module)
    except MissingExtra as error:
        raise Failure(f"cannot import {reference.module}: {error}", 2) from None
    except (Exception, SystemExit) as error:
        raise Failure(f"cannot import {reference.module}: {_described(error)}", 2) from None


def _described(error: BaseException) -> str:
    """What was raised, and the place in the user's code."""
    if isinstance(error, SyntaxError):
        return f"{error.msg} ({error.filename}, line {error.lineno})"
    words = f"{type(error).__name__}: {error}"
    frames = [each for each in traceback.extract_tb(error.__traceback__) if _is_a_file_of_theirs(each.filename)]
    return f"{words} ({frames[-1].filename}, line {frames[-1].lineno})" if frames else words


def _is_a_file_of_theirs(name: str) -> bool:
    return name not in (__file__, import_module.__code__.co_filename) and not name.startswith("<")


def _handler_mistake(found: Any) -> str | None:
    if _is_plain(found):
        return "it is no async function; --on-message is for functions that are called with each message"
    return "it is an async generator: leave yield out" if inspect.isasyncgenfunction(found) else None


def _hook_mistake(found: Any) -> str | None:
    if inspect.iscoroutinefunction(found):
        return "it is an async function, and nobody would await it; --app is for async functions"
    return None


def _is_plain(found: Any) -> bool:
    """Whether a function is not async; what wraps another may return what that returns, and is not judged."""
    asynchronous = inspect.iscoroutinefunction(found) or inspect.isasyncgenfunction(found)
    return inspect.isfunction(found) and not asynchronous and not hasattr(found, "__wrapped__")


def _takes(found: Any, arguments: Sequence[str]) -> bool:
    """Whether it may be called with so many arguments, as far as it tells: not all that is compiled does."""
    try:
        signature = inspect.signature(found)
    except (TypeError, ValueError):
        return True
    try:
        signature.bind(*arguments)
    except TypeError:
        return False
    return True


_ARGUMENTS: Mapping[str, Sequence[str]] = {
    "handler": ["a WebSocket"],
    "on_message": ["a WebSocket", "a message"],
    "on_error": ["a WebSocket", "an exception"],
    "authorize": ["a request"],
    "on_request": ["a request"],
}

_MISTAKES: Mapping[str, Callable[[Any], str | None]] = {
    "handler": _handler_mistake,
    "on_message": _hook_mistake,
    "on_error": _hook_mistake,
}
