"""`compress` of a call is true or false as Python sees it, on both twins of the link."""

from typing import Any

import pytest

import wscore


@pytest.mark.parametrize("flag", [0, 1, "", [0]])
async def test_compress_is_true_or_false_as_python_sees_it(aio, flag):
    async def handler(ws: Any) -> None:
        await ws.send("x" * 500, compress=flag)
        await ws.send(bytearray(b"x" * 500), compress=flag)
        ws.send_nowait(b"x" * 500, compress=flag)
        await ws.send(wscore.prepare("x" * 500), compress=flag)

    options = {"compression": "takeover", "compression_threshold": 400}
    async with aio.serving(handler, **options) as server, aio.dialled(server) as raw:
        raw.ask(Sec_WebSocket_Extensions="permessage-deflate")
        assert b"permessage-deflate" in await raw.head()
        assert [(await raw.frame()).rsv for _ in range(4)] == [4 if flag else 0] * 4
