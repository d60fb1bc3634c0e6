"""Why it ended: what is told of many ends whose kind is known, in the exception, in the log and in the counts."""

import logging
import random
from collections.abc import Awaitable, Callable
from typing import Any

from wscore.session import Cause
from wscore.session.logs import repeats

from ...clocks import STEP, TURNS
from ...wire import PING, TEXT
from ..face import Face
from ..peer import Peer
from ..scenario import scenario

# On each of five faces: a thousand.
COUNT = 200
INTERVAL, TIMEOUT = 2.0, 1.0
STANDSTILL = 3.0

# What `receive` raises, where it is no orderly end for who receives; the log tells these, and UNCLOSED.
RAISED = {Cause.RULE, Cause.LIMIT, Cause.SILENT, Cause.STUCK, Cause.EOF, Cause.RESET}
TIMED = {Cause.SILENT, Cause.UNCLOSED, Cause.STUCK}


async def pass_until(face: Face, condition: Callable[[], object]) -> None:
    """Until something is the case, or much more time has passed than anything takes."""
    for _ in range(100):
        for _ in range(TURNS):
            if condition():
                return
            await face.sleep(0.001)
        face.jump(STEP)


async def peer_closes(face: Face, ws: Any, peer: Peer) -> None:
    await peer.say_close(4000, "enough")
    await peer.sees_until_end()


async def we_close(face: Face, ws: Any, peer: Peer) -> None:
    ws.close_nowait(4001)
    await peer.sees_until_end()


async def rule_is_broken(face: Face, ws: Any, peer: Peer) -> None:
    await peer.say(TEXT, b"x", rsv=4)


async def message_is_too_large(face: Face, ws: Any, peer: Peer) -> None:
    await peer.say(TEXT, bytes(5001))


async def handler_fails(face: Face, ws: Any, peer: Peer) -> None:
    await peer.say(TEXT, b"fail")


async def peer_is_silent(face: Face, ws: Any, peer: Peer) -> None:
    pass


async def loop_stands_still(face: Face, ws: Any, peer: Peer) -> None:
    seen: list[str] = []

    async def look() -> None:
        seen.append(await peer.sees())

    face.start(look)
    await pass_until(face, lambda: seen)
    for _ in range(10):  # it is seen that the Ping has arrived
        face.jump(TIMEOUT / 64)
        for _ in range(TURNS):
            await face.sleep(0.001)
    face.jump(TIMEOUT + STANDSTILL)


async def peer_does_not_close(face: Face, ws: Any, peer: Peer) -> None:
    ws.close_nowait(4001)


async def peer_takes_nothing(face: Face, ws: Any, peer: Peer) -> None:
    face.start(ws.send, bytes(4 << 20))


async def peer_ends(face: Face, ws: Any, peer: Peer) -> None:
    peer.shut_down()


async def peer_ends_inside_a_frame(face: Face, ws: Any, peer: Peer) -> None:
    await peer.send(peer.frame_of(TEXT, b"whole")[:-2])
    peer.shut_down()


async def peer_ends_behind_a_message(face: Face, ws: Any, peer: Peer) -> None:
    await peer.say(TEXT, b"last")
    peer.close()


async def peer_resets(face: Face, ws: Any, peer: Peer) -> None:
    peer.reset()


async def we_abort(face: Face, ws: Any, peer: Peer) -> None:
    ws.abort()


KINDS: dict[Callable[[Face, Any, Peer], Awaitable[None]], Cause] = {
    peer_closes: Cause.CLOSE,
    we_close: Cause.CLOSE,
    rule_is_broken: Cause.RULE,
    message_is_too_large: Cause.LIMIT,
    handler_fails: Cause.FAILED,
    peer_is_silent: Cause.SILENT,
    loop_stands_still: Cause.SILENT,
    peer_does_not_close: Cause.UNCLOSED,
    peer_takes_nothing: Cause.STUCK,
    peer_ends: Cause.EOF,
    peer_ends_inside_a_frame: Cause.EOF,
    peer_ends_behind_a_message: Cause.EOF,
    peer_resets: Cause.RESET,
    we_abort: Cause.ABORT,
}


def wrong_numbers(end: Any, inject: object) -> list[str]:
    """Whether the peer's time, and that in which our own loop stood still, are what they were."""
    least, most = (TIMEOUT - 1e-6, TIMEOUT + 3 * STEP) if end.cause in TIMED else (0.0, 0.0)
    stood = (STANDSTILL - STEP, STANDSTILL + TIMEOUT) if inject is loop_stands_still else (0.0, 0.0)
    wrong = [] if least <= end.seconds <= most else [f"seconds: {end.seconds}"]
    return wrong if stood[0] <= end.standstill <= stood[1] else [*wrong, f"standstill: {end.standstill}"]


@scenario({"ends": COUNT, "wrong": []}, jumps=True)
async def ends_are_told_right(face: Face) -> Any:
    """Of many ends of every kind, what exception, log and counts tell"""
    chance, wrong, opened, over, raised = random.Random(14), [], [], [], []

    async def handler(ws: Any) -> None:
        opened.append(ws)
        try:
            while await ws.receive() != "fail":
                pass
        except Exception as error:
            raised.append(error)
            raise
        finally:
            over.append(ws)
        raise KeyError("meant")

    options = {
        "ping_interval": INTERVAL,
        "ping_timeout": TIMEOUT,
        "close_timeout": TIMEOUT,
        "send_timeout": TIMEOUT,
        "max_message_size": 5000,
    }
    logging.getLogger("wscore").setLevel(logging.INFO)
    async with face.serving(handler, **options) as server:
        for number in range(COUNT):
            inject, cause = chance.choice(list(KINDS.items()))
            repeats.clear()  # else only the first of a kind is told in a minute
            face.logged.clear()
            raised.clear()
            before = server.statistics().causes.get(cause.value, 0)
            peer = await face.dial(server, 4096 if inject is peer_takes_nothing else None)
            await peer.upgrade()
            await pass_until(face, lambda: len(opened) > number)  # noqa: B023
            ws = opened[number]
            for _ in range(chance.randrange(3)):
                await peer.say(PING, b"here")
                await peer.sees()
            await inject(face, ws, peer)
            await pass_until(face, lambda: ws.end is not None)  # noqa: B023
            peer.close()
            await pass_until(face, lambda: len(over) > number and sum(server.statistics().causes.values()) > number)  # noqa: B023
            told = [f"lost: {ws.end}" in line for line in face.logged if "was lost" in line]
            found = {
                "end": ws.end.cause is cause,
                "exception": cause not in RAISED or [getattr(error, "end", None) for error in raised] == [ws.end],
                "log": told == [True] * (cause in RAISED or cause is Cause.UNCLOSED),
                "counts": server.statistics().causes.get(cause.value, 0) == before + 1,
            }
            failures = [name for name, is_right in found.items() if not is_right] + wrong_numbers(ws.end, inject)
            if failures:
                wrong.append(f"{number} {inject.__name__} {ws.end}: {failures}")
        logging.getLogger("wscore").setLevel(logging.NOTSET)
        return {"ends": sum(server.statistics().causes.values()), "wrong": wrong[:10]}
