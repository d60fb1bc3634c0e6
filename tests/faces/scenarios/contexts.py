"""Contexts: all code of users runs in its connection's own copy of the context of `serve`'s caller, and no other.

What one connection's code sets is seen by that connection's later code, and by nobody else.
"""

from contextvars import ContextVar
from typing import Any

from wscore import Accept

from ...wire import TEXT
from ..face import Face
from ..peer import Peer
from ..scenario import AIO, scenario

who = ContextVar("who", default="nobody")
NO_AUTHORIZE = "asyncio's server has one hook, on_request"


async def tell(ws: Any) -> None:
    await ws.send(who.get())


def log_in(request: Any) -> Any:
    """As web frameworks teach it: a hook sets who is there, if somebody says so."""
    if request.path != "/":
        who.set(request.path.strip("/"))
    return Accept()


async def log_in_later(request: Any) -> Any:
    return log_in(request)


async def told_to(face: Face, *paths: str, **options: Any) -> list[str]:
    """Who the handlers of connections to these paths believe to be there, one after the other."""
    async with face.serving(tell, **options) as server:
        return [await (await face.open(server, path)).sees() for path in paths]


ALICE_AND_NOBODY = ["text 'alice'", "text 'nobody'", "text 'bob'", "text 'nobody'"]
PATHS = ("/alice", "/", "/bob", "/")


@scenario("text 'caller'")
async def context_of_caller_in_handler(face: Face) -> Any:
    """A handler sees what the caller of serve has set"""
    who.set("caller")
    return (await told_to(face, "/"))[0]


@scenario(["caller", "caller"])
async def context_of_caller_in_on_request(face: Face) -> Any:
    """on_request, sync and async, sees what the caller of serve has set"""
    who.set("caller")

    def hook(request: Any) -> Any:
        face.note(who.get())
        return Accept()

    async def async_hook(request: Any) -> Any:
        return hook(request)

    for on_request in (hook, async_hook):
        await told_to(face, "/", on_request=on_request)
    return face.notes


@scenario("caller", lacks={AIO: NO_AUTHORIZE})
async def context_of_caller_in_authorize(face: Face) -> Any:
    """authorize sees what the caller of serve has set"""
    who.set("caller")

    def authorize(request: Any) -> Any:
        face.note(who.get())
        return Accept()

    await told_to(face, "/", authorize=authorize)
    return face.notes[0]


@scenario(ALICE_AND_NOBODY)
async def context_from_on_request(face: Face) -> Any:
    """What on_request sets, its connection's handler sees, and no other"""
    return await told_to(face, *PATHS, on_request=log_in)


@scenario(ALICE_AND_NOBODY)
async def context_from_async_on_request(face: Face) -> Any:
    """What an async on_request sets, its connection's handler sees, and no other"""
    return await told_to(face, *PATHS, on_request=log_in_later)


@scenario(ALICE_AND_NOBODY, lacks={AIO: NO_AUTHORIZE})
async def context_from_authorize(face: Face) -> Any:
    """What authorize sets, its connection's handler sees, and no other"""
    return await told_to(face, *PATHS, authorize=log_in)


@scenario(ALICE_AND_NOBODY, lacks={AIO: NO_AUTHORIZE})
async def context_from_async_authorize(face: Face) -> Any:
    """What an async authorize sets, its connection's handler sees, and no other"""
    return await told_to(face, *PATHS, authorize=log_in_later)


@scenario(["text 'one'", "text 'nobody'"])
async def context_of_two_servers(face: Face) -> Any:
    """What a hook of one server sets, no handler of another server sees"""
    async with face.serving(tell, on_request=log_in) as one, face.serving(tell) as two:
        return [await (await face.open(server, "/one")).sees() for server in (one, two)]


@scenario("nobody")
async def context_stays_inside(face: Face) -> Any:
    """What hooks and handlers set, the caller of serve does not see"""

    async def handler(ws: Any) -> None:
        who.set("handler")

    async with face.serving(handler, on_request=log_in) as server:
        await (await face.open(server, "/alice")).sees()
        return who.get()


def remember(ws: Any, message: Any) -> None:
    """Log in with the first message; say who is there at each."""
    if who.get() == "nobody":
        who.set(message)
    ws.send_nowait(who.get())


@scenario([["text 'alice'", "text 'bob'"], ["text 'alice'", "text 'bob'"]])
async def context_of_on_message(face: Face) -> Any:
    """What on_message sets, it sees again at its connection's next message, and at no other's"""
    async with face.serving(on_message=remember) as server:
        peers = [await face.open(server) for _ in range(2)]
        return [[await answered(peer, name) for peer, name in zip(peers, names, strict=True)] for names in NAMES]


NAMES = (("alice", "bob"), ("again", "again"))


async def answered(peer: Peer, text: str) -> str:
    await peer.say(TEXT, text.encode())
    return await peer.sees()


@scenario("text 'alice'")
async def context_from_on_request_in_on_message(face: Face) -> Any:
    """What on_request sets, on_message sees"""
    async with face.serving(on_message=remember, on_request=log_in) as server:
        return await answered(await face.open(server, "/alice"), "bob")


@scenario(["text 'alice'", "text 'bob'", "text 'bob'"])
async def context_of_whoever_sends(face: Face) -> Any:
    """A message to another connection out of on_message lends that connection nothing"""
    websockets: list[Any] = []

    def on_message(ws: Any, message: Any) -> None:
        websockets.append(ws)
        remember(ws, message)
        if message == "poke":
            websockets[0].send_nowait("poked")

    async with face.serving(on_message=on_message) as server:
        bob, alice = await face.open(server), await face.open(server)
        first = [await answered(bob, "bob"), await answered(alice, "alice")][::-1]
        await answered(alice, "poke")
        await bob.sees()
        return [*first, await answered(bob, "again")]


@scenario(["nobody", "alice", "alice"])
async def context_of_on_error(face: Face) -> Any:
    """on_error sees what its connection's hook or handler has set, and no other's"""

    async def handler(ws: Any) -> None:
        raise ValueError

    def on_error(ws: Any, error: Exception) -> None:
        face.note(who.get())

    async with face.serving(handler, on_error=on_error, on_request=log_in) as server:
        for path in ("/", "/alice", "/alice"):
            await (await face.open(server, path)).sees_until_end()
        return face.notes
