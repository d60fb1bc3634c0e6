"""The opening handshake: what is agreed on, what is refused and with which status, and what comes with the head."""

from typing import Any

from wscore import Accept, HandshakeError, Refuse

from ...wire import TEXT
from ..face import Face, url_of
from ..scenario import scenario


async def wait(ws: Any) -> None:
    await ws.wait_closed()


async def status(face: Face, line: str = "GET / HTTP/1.1", **changes: Any) -> int:
    async with face.serving(wait) as server:
        peer = await face.dial(server)
        await peer.ask(line, **changes)
        return await peer.status()


@scenario(
    {
        "plain page": 426,
        "wrong version": 426,
        "HTTP/1.0": 505,
        "POST": 405,
        "no key": 400,
        "short key": 400,
        "no Host": 400,
        "foreign Host": 403,
        "foreign Origin": 403,
        "null Origin": 403,
        "space in a name": 400,
    }
)
async def opening_refused(face: Face) -> Any:
    """Requests that are refused, and with which status"""
    return {
        "plain page": await status(face, Upgrade=None, Connection=None, Sec_WebSocket_Key=None),
        "wrong version": await status(face, Sec_WebSocket_Version="12"),
        "HTTP/1.0": await status(face, "GET / HTTP/1.0"),
        "POST": await status(face, "POST / HTTP/1.1"),
        "no key": await status(face, Sec_WebSocket_Key=None),
        "short key": await status(face, Sec_WebSocket_Key="c2hvcnQ="),
        "no Host": await status(face, Host=None),
        "foreign Host": await status(face, Host="example.org"),
        "foreign Origin": await status(face, Origin="https://example.org"),
        "null Origin": await status(face, Origin="null"),
        "space in a name": await status(face, **{"X y": "1"}),
    }


@scenario({"head": 431, "headers": 431, "target": 414})
async def opening_too_large(face: Face) -> Any:
    """Heads above the limits"""
    outcome = {}
    async with face.serving(wait, max_head_size=1000, max_headers=10) as server:
        for name, line, changes in (
            ("head", "GET / HTTP/1.1", {"X": "x" * 1000}),
            ("headers", "GET / HTTP/1.1", {f"X{number}": "x" for number in range(10)}),
            ("target", f"GET /{'x' * 1000} HTTP/1.1", {}),
        ):
            peer = await face.dial(server)
            await peer.ask(line, **changes)
            outcome[name] = await peer.status()
    return outcome


@scenario([408, "eof"])
async def opening_too_late(face: Face) -> Any:
    """A peer that sends half a head, and no more"""
    async with face.serving(wait, handshake_timeout=0.2) as server:
        peer = await face.dial(server)
        await peer.send(b"GET / HTTP/1.1\r\nHost: loc")
        return [await peer.status(), await rest_of(peer)]


async def rest_of(peer: Any) -> str:
    """How the bytes end, whatever is in them."""
    while await peer.more():
        pass
    return str(peer._ended)


@scenario({"one": 101, "two": 503, "after": 101})
async def opening_where_it_is_full(face: Face) -> Any:
    """A connection above max_connections, and one after another has gone"""
    async with face.serving(wait, max_connections=1) as server:
        one = await face.dial(server)
        await one.ask()
        outcome = {"one": await one.status()}
        two = await face.dial(server)
        await two.ask()
        outcome["two"] = await two.status()
        two.close()
        one.close()
        await face.moment()
        after = await face.dial(server)
        await after.ask()
        return outcome | {"after": await after.status()}


@scenario({"offered": ["b", "b"], "not ours": ["None", "None"], "none": ["None", "None"], "left out": ["None", "None"]})
async def opening_subprotocol(face: Face) -> Any:
    """The subprotocol that is agreed on: our favourite among those offered"""

    async def handler(ws: Any) -> None:
        await ws.send(str(ws.subprotocol))

    async with face.serving(handler, subprotocols=["b", "a"]) as server:
        told = {}
        for name, offers in (("offered", ["a", "b"]), ("not ours", ["c"]), ("none", []), ("left out", None)):
            options = {} if offers is None else {"subprotocols": offers}
            async with face.connect(url_of(server), **options) as ws:
                told[name] = [str(ws.subprotocol), await ws.receive()]
        return told


@scenario({"path": "/room", "query": "x=1", "header": "yes", "user": "alice"})
async def opening_request(face: Face) -> Any:
    """What a handler knows of the request, and the user that on_request has named"""
    outcome: dict[str, Any] = {}
    done = face.event()

    async def handler(ws: Any) -> None:
        request = ws.request
        outcome.update(path=request.path, query=request.target.partition("?")[2], header=request.headers.get("x-mine"))
        outcome.update(user=ws.user)
        done.set()

    async with (
        face.serving(handler, on_request=lambda request: Accept(user="alice")) as server,
        face.connect(url_of(server, "/room?x=1"), headers={"X-Mine": "yes"}),
    ):
        await done.wait()
    return outcome


@scenario({"refused": "403 Nobody is let in.", "raised": "500", "nothing": "500", "text": "500"})
async def opening_by_hook(face: Face) -> Any:
    """on_request refuses, raises, or returns what makes no sense; what a client is told"""

    def hook(request: Any) -> Any:
        if request.path == "/refused":
            return Refuse(403, "Nobody is let in.")
        if request.path == "/raised":
            raise ValueError("secret")
        return None if request.path == "/nothing" else "yes"

    outcome = {}
    async with face.serving(wait, on_request=hook) as server:
        for path in ("refused", "raised", "nothing", "text"):
            try:
                async with face.connect(url_of(server, f"/{path}")):
                    outcome[path] = "open"
            except HandshakeError as error:
                outcome[path] = told_in(error.response, with_body=path == "refused")
    return outcome


def told_in(response: Any, with_body: bool) -> str:
    return f"{response.status} {response.body.decode().strip() if with_body else ''}".strip()


@scenario(["with the head", "after it"])
async def opening_with_messages(face: Face) -> Any:
    """Messages that come in one piece with the head of the request"""
    got: list[str] = []

    async def handler(ws: Any) -> None:
        got.extend([await ws.receive(), await ws.receive()])

    async with face.serving(handler) as server:
        peer = await face.dial(server)
        await peer.ask(rest=peer.frame_of(TEXT, b"with the head"))
        await peer.head()
        await peer.say(TEXT, b"after it")
        await peer.sees_until_end()
        return got


@scenario(["with the head", "after it"])
async def opening_with_messages_from_a_server(face: Face) -> Any:
    """Messages that come in one piece with the head of the answer"""
    async with face.listening() as (url, accept):

        async def answer() -> None:
            peer = await accept()
            await peer.answer_upgrade(peer.frame_of(TEXT, b"with the head"))
            await peer.say(TEXT, b"after it")
            await peer.sees_until_end()

        face.start(answer)
        async with face.connect(url) as ws:
            return [await ws.receive(), await ws.receive()]


@scenario({"byte by byte": "text 'hello'"})
async def opening_byte_by_byte(face: Face) -> Any:
    """A head and a message that come byte by byte"""

    async def handler(ws: Any) -> None:
        await ws.send(await ws.receive())

    async with face.serving(handler) as server:
        peer = await face.dial(server)
        asked: list[bytes] = []

        async def keep(data: bytes) -> None:
            asked.append(data)

        send, peer.send = peer.send, keep  # type: ignore[method-assign]
        await peer.ask(rest=peer.frame_of(TEXT, b"hello"))
        for byte in asked[0]:
            await send(bytes([byte]))
            await face.sleep(0)
        peer.send = send  # type: ignore[method-assign]
        await peer.head()
        return {"byte by byte": await peer.sees()}


@scenario(
    {"nobody there": "OSError", "no WebSocket": "HandshakeError", "silence": "HandshakeError", "wrong": "ValueError"}
)
async def opening_in_vain(face: Face) -> Any:
    """connect where nobody listens, where no WebSocket is spoken, where it is hung up, and to what is no URL"""

    async def connect(url: str) -> None:
        async with face.connect(url):
            pass

    async with face.listening() as (url, accept):

        async def answer(data: bytes) -> None:
            peer = await accept()
            await peer.head()
            await peer.send(data)
            peer.shut_down()

        face.start(answer, b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
        no_websocket = await face.said(connect, url)
        face.start(answer, b"")
        silence = await face.said(connect, url)
    return {
        "nobody there": await face.said(connect, url),
        "no WebSocket": no_websocket,
        "silence": silence,
        "wrong": await face.said(connect, "http://127.0.0.1/"),
    }


@scenario({"takeover": ["rsv 100", "rsv 100"], "not asked for": ["plain", "plain"]})
async def opening_compression(face: Face) -> Any:
    """permessage-deflate is agreed on where both want it"""
    outcome = {}
    async with face.serving(lambda ws: ws.send("x" * 2000), compression="takeover") as server:
        for name, headers in (
            ("takeover", {"Sec_WebSocket_Extensions": "permessage-deflate"}),
            ("not asked for", {}),
        ):
            peer = await face.dial(server)
            await peer.ask(**headers)
            agreed = "permessage-deflate" in await peer.head()
            compressed = "rsv 100" in await peer.sees()
            outcome[name] = ["rsv 100" if each else "plain" for each in (agreed, compressed)]
    return outcome


@scenario({"bad option": "ValueError", "bad type": "TypeError", "no handler": "ValueError", "unknown": "TypeError"})
async def opening_of_a_server_that_makes_no_sense(face: Face) -> Any:
    """serve with options that make no sense"""

    async def serve(handler: Any, **options: Any) -> None:
        async with face.serving(handler, **options):
            pass

    return {
        "bad option": await said_alone(face, serve, wait, max_message_size=-1),
        "bad type": await said_alone(face, serve, wait, max_message_size="large"),
        "no handler": await said_alone(face, serve, None),
        "unknown": await said_alone(face, serve, wait, max_mesage_size=1),
    }


async def said_alone(face: Face, function: Any, *arguments: Any, **options: Any) -> Any:
    """As `said`, also of what comes in a group of one."""
    try:
        await function(*arguments, **options)
    except Exception as error:
        alone: BaseException = error
        while isinstance(alone, BaseExceptionGroup) and len(alone.exceptions) == 1:
            alone = alone.exceptions[0]
        return face.told(alone)
    return "served"
