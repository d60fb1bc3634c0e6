"""wscore and other libraries over real sockets: each check runs with each library, wscore being server and client."""

import random
import ssl
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import pytest
import trio

import wscore

MAX_MESSAGE_SIZE = 16 << 20
# Around the limits of the three forms of a length, and of vector registers.
SIZES = [1, 7, 8, 15, 16, 17, 31, 33, 63, 65, 125, 126, 127, 128, 4095, 65535, 65536, 65537]
TEXTS = ["hello", "grüße", "日本語 𝄞 🎻", "\x00", "é" * 40_000]
# What our policies are called, and what they ask of the peer: see the documentation of `compression`.
POLICIES = ["takeover", "shared", "dedicated"]
Message = str | bytes


class End(Protocol):
    """One side of a connection, ours or the peer's."""

    async def send(self, message: Message) -> None: ...
    async def send_fragments(self, messages: list[Message]) -> None: ...
    async def receive(self) -> Message | tuple[int, str]: ...
    async def ping(self) -> None: ...
    async def close(self, code: int, reason: str) -> None: ...


class Ours:
    """Our side, with the peer's vocabulary."""

    def __init__(self, ws: wscore.WebSocket) -> None:
        self.ws = ws
        self.send = ws.send
        self.send_fragments = ws.send_pieces
        self.close = ws.aclose

    async def receive(self) -> Message | tuple[int, str]:
        try:
            return await self.ws.receive()
        except (wscore.ConnectionClosed, wscore.ConnectionLost) as ended:
            return ended.code, ended.reason

    async def ping(self) -> None:
        assert await self.ws.ping() >= 0


class Joined:
    """A connection, and what the two sides agreed on in the handshake."""

    def __init__(self, ours: Ours, theirs: Any, agreed: dict[str, Any]) -> None:
        self.ours = ours
        self.theirs = theirs
        self.agreed = agreed


@asynccontextmanager
async def as_client(
    peer: Any, theirs: dict[str, Any], tls: Path | None, options: dict[str, Any]
) -> AsyncIterator[Joined]:
    """Connect to the peer's server."""
    port = (await peer.call("listen", tls=tls and str(tls), **theirs))["port"]
    context = ssl.create_default_context(cafile=tls / "authority.pem") if tls else None
    url = f"{'wss' if tls else 'ws'}://127.0.0.1:{port}/"
    async with wscore.connect(url, ssl_context=context, **options) as ws:
        yield Joined(Ours(ws), peer, await peer.call("accepted"))


@asynccontextmanager
async def as_server(
    peer: Any, theirs: dict[str, Any], tls: Path | None, options: dict[str, Any]
) -> AsyncIterator[Joined]:
    """Let the peer's client connect to a server of ours."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH) if tls else None
    if context is not None and tls:
        context.load_cert_chain(tls / "certificate.pem", tls / "key.pem")
    give, take = trio.open_memory_channel[wscore.WebSocket](1)
    done = trio.Event()

    async def handler(ws: wscore.WebSocket) -> None:
        give.send_nowait(ws)
        await done.wait()

    async with trio.open_nursery() as nursery:
        serve = partial(wscore.serve, handler, "127.0.0.1", 0, ssl_context=context, **options)
        server = await nursery.start(serve)
        url = f"{'wss' if tls else 'ws'}://127.0.0.1:{server.addresses[0][1]}/"
        agreed = await peer.call("connect", url=url, tls=tls and str(tls), **theirs)
        yield Joined(Ours(await take.receive()), peer, agreed)
        done.set()
        nursery.cancel_scope.cancel()


ROLES = {"as client": as_client, "as server": as_server}


@pytest.fixture(params=ROLES)
def role(request: pytest.FixtureRequest) -> str:
    """What wscore is."""
    name: str = request.param
    return name


@asynccontextmanager
async def joined(
    role: str,
    peer: Any,
    *,
    tls: Path | None = None,
    compression: tuple[str | None, str | None] = (None, None),
    subprotocols: tuple[list[str], list[str]] = ([], []),
) -> AsyncIterator[Joined]:
    """A connection between wscore, in `role`, and the peer; pairs are ours and theirs."""
    ours = {
        "max_message_size": MAX_MESSAGE_SIZE,
        "compression": compression[0],
        "subprotocols": subprotocols[0],
    }
    theirs = {"compression": compression[1], "subprotocols": subprotocols[1]}
    opened: AbstractAsyncContextManager[Joined] = ROLES[role](peer, theirs, tls, ours)
    async with opened as connection:
        yield connection
        await peer.call("reset")


async def carry(sender: End, receiver: End, message: Message) -> None:
    """One message arrives as it was sent. Both sides work at once: a large message is sent while it is received."""
    received: list[Message | tuple[int, str]] = []

    async def receive() -> None:
        received.append(await receiver.receive())

    async with trio.open_nursery() as nursery:
        nursery.start_soon(receive)
        nursery.start_soon(sender.send, message)
    # Compared before the assertion, which would otherwise print megabytes.
    is_the_same = received == [message]
    assert is_the_same, f"{len(message)} sent as {type(message)}, came as {str(received)[:80]}"


async def carry_both_ways(connection: Joined, messages: list[Message]) -> None:
    for message in messages:
        await carry(connection.ours, connection.theirs, message)
        await carry(connection.theirs, connection.ours, message)


def noise(size: int) -> bytes:
    return random.Random(size).randbytes(size)


async def test_text(role: str, peer: Any) -> None:
    async with joined(role, peer) as connection:
        await carry_both_ways(connection, list(TEXTS))


async def test_binary_of_every_form_of_length(role: str, peer: Any) -> None:
    async with joined(role, peer) as connection:
        await carry_both_ways(connection, [noise(size) for size in SIZES])


async def test_empty_messages(role: str, peer: Any) -> None:
    async with joined(role, peer) as connection:
        await carry_both_ways(connection, ["", b"", "between", ""])


async def test_16_mib(role: str, peer: Any) -> None:
    async with joined(role, peer) as connection:
        await carry_both_ways(connection, [noise(MAX_MESSAGE_SIZE), "é" * (MAX_MESSAGE_SIZE // 2)])


FRAGMENTED: list[list[Message]] = [["in ", "three ", "parts"], ["", "grü", "", "ße", ""], [b"", noise(70_000), b"\x00"]]


@pytest.mark.parametrize("fragments", FRAGMENTED, ids=["text", "text with empty fragments", "binary"])
async def test_fragments_from_us(role: str, peer: Any, fragments: list[Message]) -> None:
    async with joined(role, peer) as connection:
        await connection.ours.send_fragments(fragments)
        assert await connection.theirs.receive() == type(fragments[0])().join(fragments)  # type: ignore[arg-type]


@pytest.mark.parametrize("fragments", FRAGMENTED, ids=["text", "text with empty fragments", "binary"])
async def test_fragments_from_the_peer(role: str, fragmenting_peer: Any, fragments: list[Message]) -> None:
    async with joined(role, fragmenting_peer) as connection:
        await connection.theirs.send_fragments(fragments)
        assert await connection.ours.receive() == type(fragments[0])().join(fragments)  # type: ignore[arg-type]


async def test_pings_from_both_sides_between_messages(role: str, peer: Any) -> None:
    async with joined(role, peer) as connection:
        for message in ("before", "between", "after"):
            await carry_both_ways(connection, [message])
            await connection.ours.ping()
            await connection.theirs.ping()


async def test_our_close_code_and_reason_arrive(role: str, peer: Any) -> None:
    async with joined(role, peer) as connection:
        await connection.ours.close(3001, "grüße")
        assert await connection.theirs.receive() == (3001, "grüße")


async def test_the_close_code_and_reason_of_the_peer_arrive(role: str, peer: Any) -> None:
    async with joined(role, peer) as connection:
        await connection.theirs.close(4999, "enough")
        assert await connection.ours.receive() == (4999, "enough")
        assert (connection.ours.ws.close_code, connection.ours.ws.close_reason) == (4999, "enough")


async def test_a_message_before_the_close_is_not_lost(role: str, peer: Any) -> None:
    async with joined(role, peer) as connection:
        await connection.theirs.send("last words")
        await connection.theirs.close(1000, "")
        assert await connection.ours.receive() == "last words"
        assert await connection.ours.receive() == (1000, "")


# What happens without a common subprotocol is each library's own choice: some refuse.
@pytest.mark.parametrize(("ours", "theirs"), [(["v2", "v1"], ["v1"]), (["v1"], ["v3", "v1"])])
async def test_subprotocols(role: str, peer: Any, ours: list[str], theirs: list[str]) -> None:
    async with joined(role, peer, subprotocols=(ours, theirs)) as connection:
        assert connection.agreed["subprotocol"] == "v1"
        assert connection.ours.ws.subprotocol == "v1"
        await carry_both_ways(connection, ["agreed"])


async def test_tls(role: str, peer: Any, certificates: Path) -> None:
    async with joined(role, peer, tls=certificates) as connection:
        await carry_both_ways(connection, ["secret", noise(100_000), noise(4 << 20)])
        await connection.ours.ping()
        await connection.ours.close(1000, "done")
        assert await connection.theirs.receive() == (1000, "done")


def alike(count: int) -> list[Message]:
    """Messages that repeat each other, so that a compressor which keeps its window refers back to the earlier ones."""
    return [f'{{"id": {number}, "instrument": "violin", "price": {number * 7 % 100}}}' * 20 for number in range(count)]


COMPRESSIBLE: list[Message] = [*alike(5), "", b"", "a", noise(5000), b"\x00" * 200_000, "é" * 3000, *alike(2)]


@pytest.mark.parametrize("policy", POLICIES)
async def test_compression(role: str, compressing_peer: tuple[Any, str], policy: str) -> None:
    peer, theirs = compressing_peer
    async with joined(role, peer, compression=(policy, theirs)) as connection:
        assert connection.agreed["compressed"]
        await carry_both_ways(connection, COMPRESSIBLE)
        await carry_both_ways(connection, [noise(1 << 20), "x" * (2 << 20), "after"])


@pytest.mark.parametrize("policy", POLICIES)
async def test_prepared_messages_between_our_own(role: str, compressing_peer: tuple[Any, str], policy: str) -> None:
    prepared = [wscore.prepare(message) for message in COMPRESSIBLE]
    peer, theirs = compressing_peer
    async with joined(role, peer, compression=(policy, theirs)) as connection:
        for message, ready in zip(COMPRESSIBLE, prepared, strict=True):
            await carry(connection.ours, connection.theirs, message)
            await connection.ours.ws.send(ready)
            assert await connection.theirs.receive() == message
            await carry(connection.ours, connection.theirs, message)


@pytest.mark.parametrize("policy", POLICIES)
async def test_compressed_fragments_from_us(role: str, compressing_peer: tuple[Any, str], policy: str) -> None:
    fragments: list[Message] = [*alike(3), "", *alike(3)]
    peer, theirs = compressing_peer
    async with joined(role, peer, compression=(policy, theirs)) as connection:
        for _ in range(2):
            await connection.ours.send_fragments(fragments)
            assert await connection.theirs.receive() == "".join(map(str, fragments))
            await connection.ours.ping()


async def test_single_messages_without_compression(role: str, compressing_peer: tuple[Any, str]) -> None:
    peer, theirs = compressing_peer
    async with joined(role, peer, compression=("dedicated", theirs)) as connection:
        for message in alike(4):
            await connection.ours.ws.send(message, compress=False)
            assert await connection.theirs.receive() == message
            await carry_both_ways(connection, [message])


@pytest.mark.parametrize("policy", POLICIES)
async def test_compression_that_the_peer_refuses_is_not_used(role: str, peer: Any, policy: str) -> None:
    async with joined(role, peer, compression=(policy, None)) as connection:
        assert not connection.agreed["compressed"]
        await carry_both_ways(connection, ["plain", *alike(2)])


async def test_compression_that_we_refuse_is_not_used(role: str, compressing_peer: tuple[Any, str]) -> None:
    peer, theirs = compressing_peer
    async with joined(role, peer, compression=(None, theirs)) as connection:
        assert not connection.agreed["compressed"]
        await carry_both_ways(connection, ["plain", *alike(2)])
