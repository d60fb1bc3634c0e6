"""The largest limits and times that may be given limit nothing, on both twins of the link. One more is refused."""

import sys

import pytest

SIZES = ["compression_threshold", "max_connections", "max_fragments", "max_handshakes", "max_head_size"]
SIZES += ["max_headers", "max_message_size", "max_receive_queue", "max_send_buffer"]
TIMES = ["close_timeout", "handshake_timeout", "ping_interval", "ping_timeout", "send_timeout"]
LARGEST = [(name, sys.maxsize) for name in SIZES]
LARGEST += [(name, value) for name in TIMES for value in (sys.float_info.max, int(sys.float_info.max))]


@pytest.mark.parametrize(("name", "value"), LARGEST)
async def test_the_largest_value_limits_nothing(aio, name, value):
    async with aio.serving(compression="takeover", **{name: value}) as server:
        async with aio.connect(server, compression="takeover") as ws:
            for message in ("x" * 200_000, b"", bytes(70_000)):
                await ws.send(message, compress=len(message) < 100_000)
                assert await ws.receive() == message
        assert ws.close_code == 1000


@pytest.mark.parametrize(("name", "value"), [(name, value * 2) for name, value in LARGEST if isinstance(value, int)])
async def test_what_is_larger_is_refused_before_anything_is_opened(aio, name, value):
    with pytest.raises(ValueError, match=name):
        async with aio.serving(**{name: value}):
            pass
