"""Calls as Python sees them: `inspect` and decorators, forgotten awaits, weak references, misuse, use after the end."""

import functools
import gc
import inspect
import types
import warnings
import weakref
from array import array
from typing import Any

from ...wire import TEXT
from ..face import Face
from ..scenario import AIO, Differs, scenario

CALLS = ("send", "receive", "ping", "aclose", "wait_closed")
STRIDES = "calls: BufferError, which no docstring names"
HIDDEN = "async for of a closed channel raises on Trio, and ends on asyncio"
NO_FLAG = Differs(
    dict.fromkeys(CALLS, True) | dict.fromkeys(("send", "receive", "__anext__"), False),
    "what is called for each message is compiled, and a Python function that bears the flag would cost as much again",
)
FLAG_OR_COROUTINE = (
    "compiled calls are awaitable objects of their own, as asyncio's futures are: a coroutine costs more"
)


@scenario(dict.fromkeys((*CALLS, "__anext__"), True), differs={"reactor": NO_FLAG})
async def calls_are_coroutine_functions(face: Face) -> Any:
    """inspect.iscoroutinefunction of send, receive, ping, aclose, wait_closed, and __anext__"""
    async with face.opened() as (ws, _):
        return {name: inspect.iscoroutinefunction(getattr(ws, name)) for name in (*CALLS, "__anext__")}


@scenario(dict.fromkeys(CALLS, True))
async def calls_are_awaitable(face: Face) -> Any:
    """inspect.isawaitable of what they return"""
    async with face.opened() as (ws, _):
        called = {name: getattr(ws, name)(*("x",) * (name == "send")) for name in CALLS}
        outcome = {name: inspect.isawaitable(call) for name, call in called.items()}
        for call in called.values():
            call.close()
        return outcome


@scenario({name: ["was never awaited", "nothing sent"] for name in CALLS})
async def calls_forgotten(face: Face) -> Any:
    """A call without await: a warning that says so, and nothing happens"""
    outcome: dict[str, Any] = {}
    async with face.opened() as (ws, peer):
        for name in CALLS:
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                getattr(ws, name)(*("x",) * (name == "send"))
                gc.collect()
            said = ["was never awaited" for each in caught if "was never awaited" in str(each.message)]
            outcome[name] = [*said, "nothing sent" if await peer.sees_nothing(0.05) else "sent"]
    return outcome


@scenario({"first": "one", "second": "RuntimeError"})
async def calls_awaited_twice(face: Face) -> Any:
    """One call awaited twice is a RuntimeError the second time"""
    async with face.opened() as (ws, peer):
        await peer.say(TEXT, b"one")
        await peer.say(TEXT, b"two")
        await face.moment()
        call = ws.receive()

        async def wait() -> Any:
            return await call

        return {"first": await face.said(wait), "second": await face.said(wait)}


@scenario(["decorated", "by partial", "by start", "by a wrapper", "one", "end"])
async def calls_decorated(face: Face) -> Any:
    """Calls through functools.partial, wrapped, as a task's function, by yield from, and by anext with a default"""
    async with face.opened() as (ws, peer):

        @functools.wraps(ws.send)
        async def decorated(message: str) -> None:
            await ws.send(message)

        @types.coroutine
        def generator() -> Any:
            return (yield from ws.receive().__await__())

        await decorated("decorated")
        await functools.partial(ws.send, "by partial")()
        await face.start(ws.send, "by start").ended()
        await face.start(functools.partial(decorated, "by a wrapper")).ended()
        got = [(await peer.sees()).removeprefix("text ").strip("'") for _ in range(4)]
        await peer.say(TEXT, b"one")
        got.append(await generator())
        await peer.say_close()
        return [*got, await anext(ws, "end")]


@scenario(["yes", "yes", "yes", "AttributeError"])
async def calls_weak_references(face: Face) -> Any:
    """Weak references, sets and dictionaries of connections; attributes of one's own are refused"""

    def attempt(function: Any) -> str:
        outcome = face.said_at_once(function)
        return outcome if isinstance(outcome, str) else "yes"

    async with face.opened() as (ws, _):
        return [
            attempt(lambda: weakref.ref(ws)() is ws),
            attempt(lambda: weakref.WeakSet([ws])),
            attempt(lambda: weakref.WeakKeyDictionary({ws: 1})),
            attempt(lambda: setattr(ws, "name", 1)),
        ]


@scenario({"equal": [True, False], "in a set": 2, "true": True})
async def calls_identity(face: Face) -> Any:
    """Connections are equal to themselves alone, can be members of sets, and are true"""
    async with face.opened() as (one, _), face.opened() as (two, _):
        return {"equal": [one == one, one == two], "in a set": len({one, two, one}), "true": bool(one)}


WRONG = {"None": None, "a number": 1, "a list": ["x"], "an object": object(), "a dict": {}, "half a pair": "\ud800"}
REFUSED = dict.fromkeys(WRONG, "TypeError") | {"half a pair": "UnicodeEncodeError"}


@scenario({"send": REFUSED, "send_nowait": REFUSED, "peer": "text 'after'"})
async def calls_wrong_types(face: Face) -> Any:
    """send of what is no message: an error, nothing sent, and the connection goes on"""
    async with face.opened() as (ws, peer):
        said = {name: await face.said(ws.send, wrong) for name, wrong in WRONG.items()}
        at_once = {name: face.said_at_once(ws.send_nowait, wrong) for name, wrong in WRONG.items()}
        await ws.send("after")
        return {"send": said, "send_nowait": at_once, "peer": await peer.sees()}


@scenario(
    [
        "text 'text'",
        "binary 'bytes'",
        "binary 'bytearray'",
        "binary 'view'",
        "binary '\\x01\\x00\\x02\\x00'",
        "text 'prepared'",
        "text ''",
        "binary ''",
    ]
)
async def calls_right_types(face: Face) -> Any:
    """send of text, bytes, every kind of buffer, a prepared message, and empty messages"""
    messages = ["text", b"bytes", bytearray(b"bytearray"), memoryview(b"view"), array("H", [1, 2])]
    async with face.opened() as (ws, peer):
        for message in (*messages, face.prepare("prepared"), "", b""):
            await ws.send(message)
        return [await peer.sees() for _ in range(8)]


@scenario(["TypeError", "TypeError", "text 'after'"])
async def calls_with_strides(face: Face) -> Any:
    """send of a buffer that is not contiguous: an error, nothing sent"""
    strided = memoryview(b"e-v-e-r-y-o-t-h-e-r-")[::2]
    async with face.opened() as (ws, peer):
        said = [await face.said(ws.send, strided), face.said_at_once(ws.send_nowait, strided)]
        await ws.send("after")
        return [*said, await peer.sees()]


@scenario({"end": 1005, "peer": ["close", "eof"], "receive": "closed here"})
async def calls_close_without_code(face: Face) -> Any:
    """aclose(None) sends a Close frame without a code"""
    async with face.opened() as (ws, peer):
        closing = face.start(ws.aclose, None)
        seen = await peer.sees_until_end()
        await closing.ended()
        return {"end": ws.close_code, "peer": seen, "receive": await face.said(ws.receive)}


CODES: dict[str, Any] = {
    **{str(code): code for code in (0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65536, -1)},
    "text": "1000",
}
BAD_CODES = dict.fromkeys(CODES, "LocalProtocolError") | {"text": "TypeError"}


@scenario({"aclose": BAD_CODES, "close_nowait": BAD_CODES, "peer": "text 'after'"})
async def calls_close_codes(face: Face) -> Any:
    """aclose and close_nowait with codes that no Close frame may carry: an error, and nothing has happened"""
    async with face.opened() as (ws, peer):
        said = {name: await face.said(ws.aclose, code) for name, code in CODES.items()}
        at_once = {name: face.said_at_once(ws.close_nowait, code) for name, code in CODES.items()}
        await ws.send("after")
        return {"aclose": said, "close_nowait": at_once, "peer": await peer.sees()}


REASONS = {"124 bytes": "x" * 124, "124 bytes as UTF-8": "é" * 62, "bytes": b"x", "None": None, "half": "\ud800"}
BAD_REASONS = {
    "124 bytes": "LocalProtocolError",
    "124 bytes as UTF-8": "LocalProtocolError",
    "bytes": "TypeError",
    "None": "TypeError",
    "half": "UnicodeEncodeError",
}


@scenario({"aclose": BAD_REASONS, "123 bytes": ["close 4000 " + "x" * 123, "eof"]})
async def calls_close_reasons(face: Face) -> Any:
    """aclose with a reason that is too long, or no text: an error, and nothing has happened"""
    async with face.opened() as (ws, peer):
        said = {name: await face.said(ws.aclose, 4000, reason) for name, reason in REASONS.items()}
        face.start(ws.aclose, 4000, "x" * 123)
        return {"aclose": said, "123 bytes": await peer.sees_until_end()}


CLOSED = dict.fromkeys(("send", "send_nowait", "receive", "anext", "ping"), "closed here")


@scenario(
    CLOSED,
    differs={AIO: Differs(CLOSED | {"anext": "the end"}, HIDDEN)},
)
async def calls_after_close(face: Face) -> Any:
    """Use after our own aclose; aclose again only waits"""
    async with face.opened() as (ws, peer):
        closing = face.start(ws.aclose)
        await peer.sees_until_end()
        await closing.ended()
        outcome = await used(face, ws)
        await ws.aclose(4000, "again")
        ws.close_nowait()
        ws.abort()
        await ws.wait_closed()
        return outcome


async def used(face: Face, ws: Any) -> dict[str, Any]:
    return {
        "send": await face.said(ws.send, "x"),
        "send_nowait": face.said_at_once(ws.send_nowait, "x"),
        "receive": await face.said(ws.receive),
        "anext": await face.said(anext, ws, "the end"),
        "ping": await face.said(ws.ping),
    }


@scenario(
    {
        "send": "lost 1000 bye",
        "send_nowait": "lost 1000 bye",
        "receive": "closed by the peer 1000 bye",
        "anext": "the end",
        "ping": "lost 1000 bye",
    }
)
async def calls_after_peers_close(face: Face) -> Any:
    """Use after the peer's close; aclose only waits"""
    async with face.opened() as (ws, peer):
        await peer.say_close(1000, "bye")
        await peer.sees_until_end()
        await ws.wait_closed()
        outcome = await used(face, ws)
        await ws.aclose(4000, "again")
        return outcome


@scenario(dict.fromkeys(("send", "send_nowait", "receive", "anext", "ping"), "lost 1006"))
async def calls_after_reset(face: Face) -> Any:
    """Use after the peer has reset the connection; aclose only waits"""
    async with face.opened() as (ws, peer):
        peer.reset()
        await ws.wait_closed()
        outcome = await used(face, ws)
        await ws.aclose(4000, "again")
        return outcome


@scenario({"second": "busy", "first": "one", "iterating": "busy", "then": "two"})
async def calls_two_receivers(face: Face) -> Any:
    """A second receiver at the same time is refused, and the first gets its message"""
    async with face.opened() as (ws, peer):
        first = face.start(ws.receive)
        await face.moment()
        second, iterating = await face.said(ws.receive), await face.said(anext, ws)
        await peer.say(TEXT, b"one")
        got = await first.ended()
        await peer.say(TEXT, b"two")
        return {"second": second, "first": got, "iterating": iterating, "then": await ws.receive()}


@scenario({"hangs": False, "got": ["1", "2", "3"]})
async def calls_receiver_that_comes_as_it_wakes(face: Face) -> Any:
    """A second receiver that comes as the first is woken is refused, or gets the next message; none hangs"""
    async with face.opened() as (ws, peer), face.opened() as (other, other_peer):
        got: list[str] = []

        async def receive_all(first: Any = None) -> None:
            if first is not None:
                await first.receive()
            while len(got) < 3:
                got.append(await ws.receive())

        tasks = [face.start(receive_all), face.start(receive_all, other)]
        await face.moment()
        await other_peer.say(TEXT, b"go")
        await peer.say(TEXT, b"1")
        await face.moment()
        for text in (b"2", b"3"):
            await peer.say(TEXT, text)
            await face.moment()
        hanging = [await face.waits(task) for task in tasks]
        if any(hanging) and len(got) == 3:
            await peer.say(TEXT, b"4")
            await face.moment()
            hanging = [await face.waits(task) for task in tasks]
        return {"hangs": any(hanging), "got": got[:3]}


@scenario("busy")
async def calls_receive_beside_on_message(face: Face) -> Any:
    """receive on a connection whose messages go to on_message"""
    websockets: list[Any] = []
    async with face.serving(on_message=lambda ws, message: websockets.append(ws)) as server:
        peer = await face.open(server)
        await peer.say(TEXT, b"x")
        await face.until(lambda: websockets)
        task = face.start(websockets[0].receive)
        return "waits" if await face.waits(task) else await task.ended()


@scenario(["text of 300 bytes", "text of 300 bytes", "text of 300 bytes", "compressed"])
async def calls_compress(face: Face) -> Any:
    """compress=False, 0 and, without compression, True send plain messages; True, where it was agreed on, compressed"""
    seen = []
    async with face.opened() as (ws, peer):
        await ws.send("x" * 300, compress=True)
        seen.append(await peer.sees())
    websockets: list[Any] = []

    async def handler(ws: Any) -> None:
        websockets.append(ws)
        await ws.wait_closed()

    async with face.serving(handler, compression="takeover") as server:
        peer = await face.open(server, Sec_WebSocket_Extensions="permessage-deflate")
        await face.until(lambda: websockets)
        for compress in (False, 0, True):
            await websockets[0].send("x" * 300, compress=compress)
            said = await peer.sees()
            seen.append("compressed" if "rsv 100" in said else said)
    return seen
