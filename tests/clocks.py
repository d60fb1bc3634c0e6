"""A loop of asyncio's whose clock tests set forward, so that no test waits for a deadline, or hopes that none comes."""

import asyncio
import time

# Time passes in steps too small to be taken for a loop that stood still, with turns in which what is due is done.
STEP = 0.4
TURNS = 8


class JumpingLoop(asyncio.SelectorEventLoop):
    """A loop whose clock can be set forward."""

    jumped = 0.0

    def time(self) -> float:
        return super().time() + self.jumped


async def pass_time(seconds: float) -> None:
    """Let so much time pass on this loop, and do what is due meanwhile."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, JumpingLoop)
    while seconds > 0:
        loop.jumped += min(seconds, STEP)
        seconds -= STEP
        for _ in range(TURNS):
            await asyncio.sleep(0)
            time.sleep(0.001)  # noqa: ASYNC251 - the sockets are real, and take theirs
