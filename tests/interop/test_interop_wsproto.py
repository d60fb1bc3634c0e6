"""trio-websocket, with our adapter in the place of wsproto, and other libraries: each side is server and client."""

import random

import pytest

# None of these asks for compression, which trio-websocket does not have.
NOTHING_MORE = {"compression": None, "subprotocols": ["chat"], "tls": None}
NOISE = random.Random(7)
MESSAGES = ["", "hello", "żółw 𝄞", b"", *(NOISE.randbytes(size) for size in (1, 125, 126, 65535, 65536, 1 << 20))]


@pytest.mark.parametrize("other", ["websockets", "aiohttp"])
@pytest.mark.parametrize("role", ["server", "client"])
async def test_a_package_on_the_adapter_understands_other_libraries(peer_named, other, role):
    ours, theirs = peer_named("trio-websocket on wscore"), peer_named(other)
    server, client = (ours, theirs) if role == "server" else (theirs, ours)
    port = (await server.call("listen", **NOTHING_MORE))["port"]
    agreed = await client.call("connect", url=f"ws://127.0.0.1:{port}/", **NOTHING_MORE)
    assert agreed["subprotocol"] == (await server.call("accepted"))["subprotocol"] == "chat"
    for sender, receiver in ((server, client), (client, server)):
        for message in MESSAGES:
            await sender.send(message)
            assert await receiver.receive() == message
        await sender.ping()
    await client.close(4000, "that is all")
    assert await server.receive() == (4000, "that is all")
    for peer in (server, client):
        await peer.call("reset")
