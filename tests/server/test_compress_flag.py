"""`compress` of a call on a server's WebSocket: true or false as Python sees it, whatever moves the bytes."""

import pytest

import wscore

from ..raw import dial, serving

pytestmark = pytest.mark.usefixtures("each_transport")


@pytest.mark.parametrize("flag", [0, 1, "", [0]])
async def test_compress_is_true_or_false_as_python_sees_it(flag: object) -> None:
    async def handler(ws: wscore.WebSocket) -> None:
        await ws.send("x" * 500, compress=flag)
        ws.send_nowait(b"x" * 500, compress=flag)
        await ws.send(wscore.prepare("x" * 500), compress=flag)
        await ws.send_pieces(["x" * 500], compress=flag)

    async with serving(handler, compression="takeover", compression_threshold=400) as server, dial(server) as raw:
        await raw.ask(Sec_WebSocket_Extensions="permessage-deflate")
        assert b"permessage-deflate" in await raw.head()
        frames = await raw.frames(5)
        assert [frame.rsv for frame in frames[:5]] == [4 if flag else 0] * 4 + [0]
