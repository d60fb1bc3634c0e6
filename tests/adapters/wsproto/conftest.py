"""The adapter for wsproto's interface, on each twin of the codec."""

from types import SimpleNamespace

import pytest

from wscore.adapters.wsproto import connection, decoding, engines, extensions

from .peers import Peers


@pytest.fixture(autouse=True)
def on_each_twin(codec: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is tested holds on both."""
    for module in (connection, decoding, engines, extensions):
        for name in vars(codec).keys() & vars(module).keys():
            monkeypatch.setattr(module, name, getattr(codec, name))


@pytest.fixture(params=["server", "client"])
def peers(request: pytest.FixtureRequest) -> Peers:
    """The end that is tested, and what its peer sends."""
    return Peers(request.param == "client")
