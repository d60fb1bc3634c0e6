"""wscore: a task for each connection, or `on_message` without tasks; `--transport` chooses what moves the bytes."""

import trio

import wscore
from benchmarks.endtoend.servers.job import Job, announce, job


async def echo(ws: wscore.WebSocket) -> None:
    async for message in ws:
        await ws.send(message)


def echo_at_once(ws: wscore.WebSocket, message: str | bytes) -> None:
    ws.send_nowait(message)


class FanOut:
    """What the handlers send with is there once `serve` has started."""

    server: wscore.Server

    async def handle(self, ws: wscore.WebSocket) -> None:
        async for message in ws:
            self.server.broadcast(message)

    def handle_at_once(self, ws: wscore.WebSocket, message: str | bytes) -> None:
        self.server.broadcast(message)


def settings(asked: Job) -> dict[str, object]:
    chosen: dict[str, object] = {"transport": asked.transport, "ssl_context": asked.ssl_context()}
    if asked.compress:
        chosen["compression"] = "takeover"
    if asked.keepalive is not None:
        chosen["ping_interval"] = asked.keepalive
    return chosen


async def main(asked: Job) -> None:
    fanout, options = FanOut(), settings(asked)
    if asked.way == "on_message":
        options["on_message"] = fanout.handle_at_once if asked.fanout else echo_at_once
        handler = None
    else:
        handler = fanout.handle if asked.fanout else echo

    async def serve(task_status: trio.TaskStatus[wscore.Server]) -> None:
        await wscore.serve(handler, "127.0.0.1", 0, task_status=task_status, **options)

    async with trio.open_nursery() as nursery:
        fanout.server = await nursery.start(serve)
        announce(fanout.server.addresses[0][1], "trio")


trio.run(main, job("async", "on_message"))
