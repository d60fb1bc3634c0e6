"""Putting this package in the place of wsproto, for programs that import that."""

from __future__ import annotations

import importlib
import sys

from .limits import Limits, set_default_limits

__all__ = ["install"]

_MODULES = ("connection", "events", "extensions", "frame_protocol", "handshake", "typing", "utilities")


def install(limits: Limits | None = None) -> None:
    """Let `import wsproto` and its modules find this package, in this process; `limits` bind all connections.

    Call it before anything imports wsproto, which need not be there. Raises RuntimeError if that has happened: half of
    a program would use the one, and half the other. Calling it again only changes the limits.
    """
    package = sys.modules[__package__]
    already = sorted(name for name, module in sys.modules.items() if _is_wsproto(name) and not _is_ours(module))
    if already:
        raise RuntimeError(f"{already[0]} was imported already: call install() before anything that imports it")
    if limits is not None:
        set_default_limits(limits)
    sys.modules["wsproto"] = package
    for name in _MODULES:
        sys.modules[f"wsproto.{name}"] = importlib.import_module(f".{name}", __package__)


def _is_wsproto(name: str) -> bool:
    return name.partition(".")[0] == "wsproto"


def _is_ours(module: object) -> bool:
    return getattr(module, "__name__", "").startswith(f"{__package__}")
