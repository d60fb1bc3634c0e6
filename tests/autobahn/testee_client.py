"""The client that Autobahn's wstest examines: it asks wstest, whose URL is the first argument, for case after case."""

import os
import sys

import trio
from testee_limits import LIMITS

import wscore
from wscore.codec import IMPLEMENTATION


async def echo(url: str) -> None:
    async with wscore.connect(url, **LIMITS) as ws:
        # How a case ends is judged by wstest; here any end is as good as another.
        try:
            async for message in ws:
                await ws.send(message)
        except wscore.ConnectionLost:
            pass


async def main(url: str, agent: str) -> None:
    async with wscore.connect(f"{url}/getCaseCount") as ws:
        count = int(await ws.receive())
    for case in range(1, count + 1):
        await echo(f"{url}/runCase?case={case}&agent={agent}")
    await echo(f"{url}/updateReports?agent={agent}")


if os.environ.get("WSCORE_PURE") or IMPLEMENTATION == "native":
    trio.run(main, *sys.argv[1:3])
else:
    sys.exit("the compiled codec is not built")
