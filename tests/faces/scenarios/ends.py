"""Ends: by each side and for each cause; what our calls say, the code and reason, and what the peer sees.

RFC 6455 sections 5.5.1, 7.1 and 7.4.
"""

from collections.abc import Awaitable, Callable
from typing import Any

from ...wire import BINARY, CLOSE, CONTINUATION, PING, TEXT
from ..face import Face
from ..peer import Peer
from ..scenario import scenario
from .cancelling import fill
from .messages import BOTH

ROLES = ("server", "client")


async def end_on(face: Face, role: str, act: Callable[[Any, Peer], Awaitable[Any]], **options: Any) -> dict[str, Any]:
    """What an open connection comes to when this is done to it, while `receive` waits."""
    options = {"close_timeout": 0.3} | options
    async with face.opened(role, **options) as (ws, peer):
        receiving = face.start(ws.receive)
        await face.moment()
        await act(ws, peer)
        seen = await peer.sees_until_end()
        peer.close()
        assert await face.within(5, ws.wait_closed)
        return {
            "receive": await receiving.ended(),
            "again": await face.said(ws.receive),
            "send": await face.said(ws.send, "x"),
            "end": f"{int(ws.close_code)} {ws.close_reason}".rstrip(),
            "peer": seen,
        }


async def ends(face: Face, act: Callable[[Any, Peer], Awaitable[Any]], **options: Any) -> Any:
    """The same on both roles; told once if it is the same."""
    told = [await end_on(face, role, act, **options) for role in ROLES]
    return told[0] if told[0] == told[1] else dict(zip(ROLES, told, strict=True))


def must(receive: str, end: str, peer: list[str], *, send: str | None = None, again: str | None = None) -> Any:
    return {
        "receive": receive,
        "again": receive if again is None else again,
        "send": receive if send is None else send,
        "end": end,
        "peer": peer,
    }


@scenario(must("closed here", "4001 why", ["close 4001 why", "eof"]))
async def end_by_aclose(face: Face) -> Any:
    """aclose(4001, "why") while receive waits"""
    return await ends(face, lambda ws, peer: start(face, ws.aclose, 4001, "why"))


async def start(face: Face, function: Callable[..., Awaitable[Any]], *arguments: Any) -> None:
    face.start(function, *arguments)


@scenario(must("closed here", "4002 later", ["close 4002 later", "eof"], send="lost 4002 later"))
async def end_by_close_nowait(face: Face) -> Any:
    """close_nowait(4002, "later") while receive waits"""

    async def act(ws: Any, peer: Peer) -> None:
        ws.close_nowait(4002, "later")

    return await ends(face, act)


@scenario(must("closed here", "1006", ["eof"]))
async def end_by_abort(face: Face) -> Any:
    """abort while receive waits"""

    async def act(ws: Any, peer: Peer) -> None:
        ws.abort()

    return await ends(face, act)


@scenario(must("closed by the peer 4003 enough", "4003 enough", ["close 4003", "eof"], send="lost 4003 enough"))
async def end_by_peer(face: Face) -> Any:
    """The peer closes with 4003 and a reason"""

    async def act(ws: Any, peer: Peer) -> None:
        await peer.say_close(4003, "enough")

    return await ends(face, act)


@scenario(must("closed by the peer 1005", "1005", ["close", "eof"], send="lost 1005"))
async def end_by_peer_without_code(face: Face) -> Any:
    """The peer closes without a code"""

    async def act(ws: Any, peer: Peer) -> None:
        await peer.say(CLOSE)

    return await ends(face, act)


@scenario(must("lost 1006", "1006", []))
async def end_by_reset(face: Face) -> Any:
    """The peer resets the connection"""

    async def act(ws: Any, peer: Peer) -> None:
        peer.reset()
        peer.sees_until_end = nothing_seen  # type: ignore[method-assign]

    return await ends(face, act)


async def nothing_seen() -> list[str]:
    return []


@scenario(must("lost 1006", "1006", ["eof"]))
async def end_by_eof(face: Face) -> Any:
    """The peer's bytes end without a Close frame"""

    async def act(ws: Any, peer: Peer) -> None:
        peer.shut_down()

    return await ends(face, act)


@scenario(must("lost 1006", "1006", ["eof"]))
async def end_by_eof_inside_a_frame(face: Face) -> Any:
    """The peer's bytes end inside a frame"""

    async def act(ws: Any, peer: Peer) -> None:
        await peer.send(peer.frame_of(TEXT, b"whole")[:-2])
        peer.shut_down()

    return await ends(face, act)


@scenario({"handler": ["text 'last'", "eof"], "on_message": ["text 'last'", "eof"]})
async def end_by_eof_behind_a_message(face: Face) -> Any:
    """The peer's bytes end right behind a message, which is answered"""
    outcome = {}
    for name, given in zip(("handler", "on_message"), BOTH, strict=True):
        async with face.serving(**given) as server:
            peer = await face.open(server)
            await peer.send(peer.frame_of(TEXT, b"last"))
            peer.shut_down()
            outcome[name] = await peer.sees_until_end()
    return outcome


def broken(code: int, reason: str) -> Any:
    said = f"lost {code} {reason}"
    return must(said, f"{code} {reason}", [f"close {code} {reason}", "eof"])


def by_bytes(face: Face, *frames: tuple[int, bytes, dict[str, Any]], **options: Any) -> Awaitable[Any]:
    async def act(ws: Any, peer: Peer) -> None:
        for opcode, payload, bits in frames:
            await peer.say(opcode, payload, **bits)

    return ends(face, act, **options)


@scenario(broken(1002, "reserved bits are set without an extension that defines them"))
async def end_by_reserved_bit(face: Face) -> Any:
    """A frame with a reserved bit"""
    return await by_bytes(face, (TEXT, b"x", {"rsv": 4}))


@scenario(broken(1002, "unknown opcode"))
async def end_by_unknown_opcode(face: Face) -> Any:
    """A frame of an unknown opcode"""
    return await by_bytes(face, (3, b"x", {}))


@scenario(broken(1002, "continuation frame without a message to continue"))
async def end_by_lost_continuation(face: Face) -> Any:
    """A continuation of nothing"""
    return await by_bytes(face, (CONTINUATION, b"x", {}))


@scenario(
    {
        "server": broken(1002, "frames from a client must be masked"),
        "client": broken(1002, "frames from a server must not be masked"),
    }
)
async def end_by_mask(face: Face) -> Any:
    """A client's frame without a mask, a server's with one"""

    async def act(ws: Any, peer: Peer) -> None:
        peer.is_client = not peer.is_client
        await peer.say(TEXT, b"x")
        peer.is_client = not peer.is_client

    return await ends(face, act)


@scenario(broken(1002, "control frames carry at most 125 bytes"))
async def end_by_long_ping(face: Face) -> Any:
    """A Ping of 126 bytes"""
    return await by_bytes(face, (PING, bytes(126), {}))


@scenario(broken(1002, "control frames must not be fragmented"))
async def end_by_fragmented_ping(face: Face) -> Any:
    """A Ping in fragments"""
    return await by_bytes(face, (PING, b"", {"fin": False}))


@scenario(broken(1002, "this close code must not be sent"))
async def end_by_invalid_code(face: Face) -> Any:
    """A Close frame with code 1005, which no frame may carry"""
    return await by_bytes(face, (CLOSE, b"\x03\xed", {}))


@scenario(broken(1002, "a Close frame with a body needs two bytes of close code"))
async def end_by_half_a_code(face: Face) -> Any:
    """A Close frame with one byte"""
    return await by_bytes(face, (CLOSE, b"\x03", {}))


@scenario(broken(1007, "text is not valid UTF-8"))
async def end_by_bad_text(face: Face) -> Any:
    """Text that is no UTF-8"""
    return await by_bytes(face, (TEXT, b"\xff", {}))


@scenario(broken(1007, "the reason of a Close frame is not valid UTF-8"))
async def end_by_bad_reason(face: Face) -> Any:
    """A Close frame whose reason is no UTF-8"""
    return await by_bytes(face, (CLOSE, b"\x03\xe8\xff", {}))


@scenario(broken(1009, "the message is larger than the limit"))
async def end_by_size(face: Face) -> Any:
    """A message one byte above max_message_size"""
    return await by_bytes(face, (BINARY, bytes(101), {}), max_message_size=100)


@scenario(broken(1009, "the message is larger than the limit"))
async def end_by_size_of_fragments(face: Face) -> Any:
    """Fragments one byte above max_message_size together"""
    return await by_bytes(
        face, (BINARY, bytes(60), {"fin": False}), (CONTINUATION, bytes(41), {}), max_message_size=100
    )


@scenario(broken(1008, "the message has more fragments than the limit"))
async def end_by_fragments(face: Face) -> Any:
    """A fragment above max_fragments"""
    first, more = (TEXT, b"", {"fin": False}), (CONTINUATION, b"", {"fin": False})
    return await by_bytes(face, first, more, more, max_fragments=2)


@scenario(broken(1011, "a Ping was not answered in time"))
async def end_by_keepalive(face: Face) -> Any:
    """A Ping that is not answered in time"""

    async def act(ws: Any, peer: Peer) -> None:
        while (await peer.sees()).startswith("ping"):
            if not await peer.sees_nothing(0.5):
                return

    return await ends(face, act, ping_interval=0.1, ping_timeout=0.2)


@scenario(must("closed here", "1006", ["close 4001 why", "eof"]))
async def end_without_answer(face: Face) -> Any:
    """aclose, and the peer answers nothing but ends its bytes"""

    async def act(ws: Any, peer: Peer) -> None:
        face.start(ws.aclose, 4001, "why")
        assert await peer.sees() == "close 4001 why"
        peer.shut_down()
        peer.received[:0] = b"\x88\x05\x0f\xa1why"
        peer.say = ignored  # type: ignore[method-assign]

    return await ends(face, act)


async def ignored(*_: Any) -> None:
    pass


@scenario(must("closed here", "4003 crossed", ["close 4001 why", "eof"], send="lost 4001 why"))
async def end_by_both(face: Face) -> Any:
    """Both close at the same time"""

    async def act(ws: Any, peer: Peer) -> None:
        ws.close_nowait(4001, "why")
        await peer.say_close(4003, "crossed")

    return await ends(face, act)


@scenario({"aclose": "closed here", "close_nowait": "lost 4000", "peer": "lost 4003 enough", "reset": "lost 1006"})
async def end_of_a_waiting_send(face: Face) -> Any:
    """A send that waits for room when the connection ends"""
    outcome = {}
    for name in ("aclose", "close_nowait", "peer", "reset"):
        async with face.opened(small=True, max_send_buffer=50_000, close_timeout=0.3) as (ws, peer):
            await fill(face, ws)
            sending = face.start(ws.send, bytes(60_000))
            assert await face.waits(sending)
            if name == "aclose":
                face.start(ws.aclose, 4000)
            elif name == "close_nowait":
                ws.close_nowait(4000)
            elif name == "peer":
                await peer.say_close(4003, "enough")
            else:
                peer.reset()
            outcome[name] = await sending.ended()
    return outcome
