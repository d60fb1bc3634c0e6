"""The largest limits, times and rates that may be given do what they say: they limit nothing. One more is refused."""

import sys
from dataclasses import fields
from typing import Any

import pytest

import wscore
from wscore.session.options import Options

from ..raw import serving, url_of

pytestmark = pytest.mark.usefixtures("each_transport")

USUAL = {field.name: field.default for field in fields(Options)} | {
    "compression_threshold": 1,
    "max_total_buffers": 1,
    "max_connections": 1,
    "max_connections_per_address": 1,
    "max_handshakes": 1,
}
SIZES = sorted(name for name, value in USUAL.items() if type(value) is int)
TIMES = sorted(name for name, value in USUAL.items() if type(value) is float)
RATES = ["byte_rate", "connection_rate", "connection_rate_per_address", "message_rate"]
LARGEST = [(name, sys.maxsize) for name in SIZES]
LARGEST += [(name, value) for name in TIMES + RATES for value in (sys.float_info.max, int(sys.float_info.max))]


@pytest.mark.parametrize(("name", "value"), LARGEST)
async def test_the_largest_value_limits_nothing(name: str, value: Any) -> None:
    async with (
        serving(compression="takeover", **{name: value}) as server,
        wscore.connect(url_of(server), compression="takeover") as ws,
    ):
        for message in ("x" * 200_000, b"", bytes(70_000)):
            await ws.send(message, compress=len(message) < 100_000)
            assert await ws.receive() == message
        await ws.ping()
    assert ws.close_code == 1000


@pytest.mark.parametrize(("name", "value"), [(name, value * 2) for name, value in LARGEST if isinstance(value, int)])
async def test_what_is_larger_is_refused_before_anything_is_opened(name: str, value: int) -> None:
    with pytest.raises(ValueError, match=name):
        await wscore.serve(wscore.WebSocket.wait_closed, "127.0.0.1", 0, **{name: value})
