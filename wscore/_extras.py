"""What is not installed, in one sentence: what needs it, and the command that brings it.

Decides how that sentence reads, and what the distribution is called whose extra is named: on PyPI `wscore` is somebody
else's. Refuses to know what is done with what an extra brings. Nothing here is loaded before something is asked for.
"""

from importlib import import_module

__all__ = ["DISTRIBUTION", "MissingExtra", "missing", "require"]

DISTRIBUTION = "wscore-websockets"

# What people call these modules.
_NAMES = {"trio": "Trio", "prometheus_client": "prometheus-client", "jwt": "PyJWT and cryptography"}


class MissingExtra(ModuleNotFoundError):
    """What an extra brings is not installed; the message is one line, and names the command that installs it."""


def missing(what: str, needs: str, extra: str) -> MissingExtra:
    """Return the error for `what`, which `needs` something that `extra` brings."""
    return MissingExtra(f"{what} needs {needs}: pip install '{DISTRIBUTION}[{extra}]'")


def require(what: str, extra: str, *modules: str) -> None:
    """Import `modules`, which `extra` brings. Raises `MissingExtra` if one, or what it needs itself, is not installed.

    One that is installed and fails raises what it raises.
    """
    try:
        for module in modules:
            import_module(module)
    except ModuleNotFoundError as error:
        raise missing(what, " and ".join(_NAMES.get(module, module) for module in modules), extra) from error
