"""A plugin for pytest inside the tests of wsproto and of its users: `import wsproto` finds wscore's adapter.

It is loaded before any test module is. Where wsproto itself is installed, too, it is not what runs.
"""

import sys

import wscore.adapters.wsproto

wscore.adapters.wsproto.install()


def pytest_sessionfinish() -> None:
    """The tests have run on the adapter, to the end."""
    assert sys.modules["wsproto"] is wscore.adapters.wsproto
