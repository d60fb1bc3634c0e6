"""picows on uvloop: frames as they come, in a callback. It does not join fragments, check UTF-8 or compress."""

import picows
import uvloop
from picows import WSFrame, WSListener, WSMsgType, WSTransport, WSUpgradeRequest

from benchmarks.endtoend.servers.job import Job, announce, job, listen

everybody: set[WSTransport] = set()


class Echo(WSListener):
    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type == WSMsgType.CLOSE:
            transport.send_close(frame.get_close_code(), frame.get_close_message())
            transport.disconnect()
        elif frame.msg_type in (WSMsgType.TEXT, WSMsgType.BINARY):
            self.answer(transport, frame)

    def answer(self, transport: WSTransport, frame: WSFrame) -> None:
        transport.send(frame.msg_type, frame.get_payload_as_memoryview())


class FanOut(Echo):
    def on_ws_connected(self, transport: WSTransport) -> None:
        everybody.add(transport)

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        everybody.discard(transport)

    def answer(self, transport: WSTransport, frame: WSFrame) -> None:
        message = frame.get_payload_as_bytes()
        for each in everybody:
            each.send(frame.msg_type, message)


async def main(asked: Job) -> None:
    made = FanOut if asked.fanout else Echo
    pings: dict[str, object] = {}
    if asked.keepalive is not None:
        interval = asked.keepalive
        pings = {"enable_auto_ping": True, "auto_ping_idle_timeout": interval, "auto_ping_reply_timeout": interval}

    def accept(_: WSUpgradeRequest) -> WSListener:
        return made()

    sock = listen()
    server = await picows.ws_create_server(accept, sock=sock, ssl=asked.ssl_context(), **pings)
    announce(sock.getsockname()[1], "picows", "uvloop")
    await server.serve_forever()


uvloop.run(main(job()))
