"""How a test commands a peer in another process: one JSON object a line, on standard input and output.

A peer is an object with coroutine methods `listen accepted connect send send_fragments receive ping close reset`; it
keeps one connection at a time. Messages travel as {"text": str} or {"binary": base64}, the end of a connection as
{"closed": code, "reason": str}. Nothing here knows any library, nor wscore.
"""

import base64
import json
import ssl
import sys
import traceback
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

# Above every message of the tests, for libraries that have a limit.
MAX_MESSAGE_SIZE = 32 << 20


def encode(message: str | bytes) -> dict[str, Any]:
    if isinstance(message, str):
        return {"text": message}
    return {"binary": base64.b64encode(message).decode()}


def decode(message: dict[str, str]) -> str | bytes:
    return message["text"] if "text" in message else base64.b64decode(message["binary"])


def server_context(folder: str | None) -> ssl.SSLContext | None:
    """TLS for a server, with the certificate that the test put into `folder`; None without a folder."""
    if folder is None:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(Path(folder) / "certificate.pem", Path(folder) / "key.pem")
    return context


def client_context(folder: str | None) -> ssl.SSLContext | None:
    """TLS for a client that trusts the authority in `folder` alone; None without a folder."""
    return ssl.create_default_context(cafile=Path(folder) / "authority.pem") if folder is not None else None


async def obey(peer: Any, in_thread: Callable[..., Awaitable[bytes]]) -> None:
    """Carry out one command after another until standard input ends."""
    while line := await in_thread(sys.stdin.buffer.readline):
        command = json.loads(line)
        try:
            answer = {"result": await getattr(peer, command.pop("do"))(**command)}
        except Exception:
            answer = {"error": traceback.format_exc()}
        sys.stdout.buffer.write(json.dumps(answer, ensure_ascii=False).encode() + b"\n")
        sys.stdout.buffer.flush()
