"""Ctrl-C: it reaches whichever code of users runs, and ends the program with KeyboardInterrupt."""

import signal
from typing import Any

from wscore import Accept

from ...wire import TEXT
from ..face import Face
from ..scenario import AIO, Differs, scenario
from .contexts import NO_AUTHORIZE

INTERRUPTED = {"run": "KeyboardInterrupt", "notes": ["interrupted"]}
BY_RUNNER = Differs(
    {"run": "KeyboardInterrupt", "notes": ["ran to its end"]},
    "asyncio.Runner turns Ctrl-C into the cancelling of the main task; code that runs is not interrupted",
)


def be_interrupted(face: Face) -> None:
    """Press Ctrl-C, and go on."""
    try:
        signal.raise_signal(signal.SIGINT)
        sum(range(1000))
    except KeyboardInterrupt:
        face.note("interrupted")
        raise
    face.note("ran to its end")


async def serve_and_ask(face: Face, handler: Any, **options: Any) -> None:
    """One peer that connects and says a word, and waits for what comes."""
    async with face.serving(handler, **options) as server:
        peer = await face.dial(server)
        await peer.ask(rest=peer.frame_of(TEXT, b"a word"))
        while await peer.more():
            pass


async def wait(ws: Any) -> None:
    await ws.wait_closed()


@scenario(INTERRUPTED, differs={AIO: BY_RUNNER})
async def interrupt_in_handler(face: Face) -> Any:
    """Ctrl-C in a handler"""

    async def handler(ws: Any) -> None:
        be_interrupted(face)

    await serve_and_ask(face, handler)


@scenario(INTERRUPTED, differs={AIO: BY_RUNNER})
async def interrupt_in_on_message(face: Face) -> Any:
    """Ctrl-C in on_message"""
    await serve_and_ask(face, None, on_message=lambda ws, message: be_interrupted(face))


@scenario(INTERRUPTED, differs={AIO: BY_RUNNER})
async def interrupt_in_on_request(face: Face) -> Any:
    """Ctrl-C in on_request"""

    def on_request(request: Any) -> Any:
        be_interrupted(face)
        return Accept()

    await serve_and_ask(face, wait, on_request=on_request)


@scenario(INTERRUPTED, differs={AIO: BY_RUNNER})
async def interrupt_in_async_on_request(face: Face) -> Any:
    """Ctrl-C in an async on_request"""

    async def on_request(request: Any) -> Any:
        be_interrupted(face)
        return Accept()

    await serve_and_ask(face, wait, on_request=on_request)


@scenario(INTERRUPTED, lacks={AIO: NO_AUTHORIZE})
async def interrupt_in_authorize(face: Face) -> Any:
    """Ctrl-C in authorize"""

    def authorize(request: Any) -> Any:
        be_interrupted(face)
        return Accept()

    await serve_and_ask(face, wait, authorize=authorize)


@scenario(INTERRUPTED, differs={AIO: BY_RUNNER})
async def interrupt_in_on_error(face: Face) -> Any:
    """Ctrl-C in on_error"""

    async def handler(ws: Any) -> None:
        raise ValueError

    await serve_and_ask(face, handler, on_error=lambda ws, error: be_interrupted(face))


@scenario({"run": "KeyboardInterrupt", "notes": []})
async def interrupt_while_waiting(face: Face) -> Any:
    """Ctrl-C while everything waits"""
    async with face.opened():
        await face.in_thread(lambda: signal.raise_signal(signal.SIGINT))
        await face.sleep(10)
