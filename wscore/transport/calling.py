"""How the application's code is called: in its connection's own context, and so that Ctrl-C reaches it.

All hooks of one connection, its `on_message` and its handler share one copy of the context of whoever called `serve`:
what one sets the next one sees, and no other connection does. Whoever calls for a connection enters that context,
or its task has it, by `adopt`. Trio keeps `KeyboardInterrupt` away from its own code, and so from all that the reactor
calls: `interruptible` excepts what is the application's. Refuses to know what hooks are for.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextvars import Context
from types import FunctionType, MethodType
from typing import Any, TypeVar, cast

from trio.lowlevel import cancel_shielded_checkpoint, current_task, disable_ki_protection

__all__ = ["adopt", "await_in", "interruptible"]

Hook = TypeVar("Hook", bound=Callable[..., Any])
Result = TypeVar("Result")


def interruptible(hook: Hook) -> Hook:
    """`hook`, such that Ctrl-C raises `KeyboardInterrupt` in it whoever calls it.

    A Python function is copied, since Trio marks code: to call it through another one costs a tenth of a message.
    """
    if isinstance(hook, MethodType):
        return cast(Hook, MethodType(interruptible(hook.__func__), hook.__self__))
    return cast(Hook, disable_ki_protection(_copied(hook) if isinstance(hook, FunctionType) else _wrapped(hook)))


def _copied(function: FunctionType) -> FunctionType:
    parts = function.__globals__, function.__name__, function.__defaults__, function.__closure__
    copied = FunctionType(function.__code__.replace(), *parts)
    copied.__kwdefaults__ = function.__kwdefaults__
    return copied


def _wrapped(hook: Callable[..., Any]) -> FunctionType:
    def call(*arguments: Any) -> Any:
        return hook(*arguments)

    return cast(FunctionType, call)


async def adopt(context: Context) -> None:
    """Let this task go on in `context`, in which nobody else is. Cannot be cancelled."""
    current_task().context = context
    await cancel_shielded_checkpoint()


async def await_in(context: Context, awaitable: Awaitable[Result]) -> Result:
    """Await in `context`, in which nobody else is, and leave it then, so that others can enter it."""
    between = current_task().context
    await adopt(context)
    result = await awaitable
    await adopt(between)
    return result
