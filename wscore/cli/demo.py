"""What `wscore serve` serves if nobody names anything else: an echo on /echo, and a page to try it on /.

Decides what the page may do. Refuses to know how it is served.
"""

import base64
import hashlib
import re
from http import HTTPStatus
from importlib.resources import files

from wscore.protocol.handshake import Accept, Page, Refuse, Request
from wscore.server.pages import Document
from wscore.transport.websocket import WebSocket

__all__ = ["echo", "page", "route"]


async def echo(ws: WebSocket) -> None:
    """Send back every message. Cancelled, the connection is closed at once."""
    async for message in ws:
        await ws.send(message)


def route(request: Request) -> Accept | Refuse | Page:
    """Let the echo be on /echo alone, and pages everywhere else."""
    if request.path == "/echo":
        return Accept()  # which a request without Upgrade cannot take: it gets 426
    if request.is_upgrade:
        return Refuse(HTTPStatus.NOT_FOUND, "There is no WebSocket here: the echo is on /echo.")
    return Page()


def page() -> Document:
    """The page, allowed to run its own script and style, to connect to its own server, and nothing else."""
    text = files(__package__).joinpath("demo.html").read_text(encoding="utf-8")
    policy = "; ".join(
        [
            "default-src 'none'",
            f"script-src {_hash_of('script', text)}",
            f"style-src {_hash_of('style', text)}",
            "connect-src 'self'",
            "img-src data:",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
        ]
    )
    return Document("text/html; charset=utf-8", text.encode(), headers=[("Content-Security-Policy", policy)])


def _hash_of(element: str, text: str) -> str:
    match = re.search(f"<{element}>(.*?)</{element}>", text, re.DOTALL)
    assert match is not None
    return f"'sha256-{base64.b64encode(hashlib.sha256(match[1].encode()).digest()).decode()}'"
