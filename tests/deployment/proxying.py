"""A proxy as the documentation sets it up, in front of `wscore serve`: both real, both on the loopback interface."""

import json
import os
import shutil
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio
import trustme

import wscore

from ..cli.conftest import running
from ..listening import HANGING

ROOT = Path(__file__).parent.parent.parent
SITE = "chat.example.org"
# A client whose address is not the proxy's: on Linux all of 127.0.0.0/8 is the loopback interface.
CLIENT = "127.0.0.2"

APP = """
import json

async def handler(ws):
    client = ws.request.client
    await ws.send(json.dumps([ws.remote_address[0], client.scheme, client.host or ws.request.headers.get("host")]))
    async for message in ws:
        await ws.send(message)
"""


def snippet(name: str, replacements: Mapping[str, object]) -> str:
    """A file of the documentation, with places on this machine instead of those that it must be naming."""
    text = (ROOT / "docs" / "deployment" / name).read_text(encoding="utf-8")
    for old, new in replacements.items():
        assert old in text, f"{name} does not have {old}"
        text = text.replace(old, str(new))
    return text


def installed(program: str) -> str:
    """Where a program is. Without it the test is skipped, but fails where CI is set."""
    path = shutil.which(program, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    if path is None and os.environ.get("CI"):
        pytest.fail(f"{program} is not installed")
    return path or pytest.skip(f"{program} is not installed")


class Certificate:
    """A certificate for the site, in files as certbot leaves them and in one as HAProxy wants it."""

    def __init__(self, folder: Path) -> None:
        authority = trustme.CA()
        issued = authority.issue_cert(SITE)
        self.chain, self.key, self.both = (folder / name for name in ("fullchain.pem", "privkey.pem", "chat.pem"))
        self.chain.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
        self.key.write_bytes(issued.private_key_pem.bytes())
        self.both.write_bytes(issued.private_key_and_cert_chain_pem.bytes())
        self.trust = ssl.create_default_context()
        authority.configure_trust(self.trust)


@asynccontextmanager
async def serving(folder: Path, *options: object, **keywords: Any) -> AsyncIterator[int]:
    """`wscore serve` with the configuration of the documentation; the port that it listens on, 0 for a Unix socket."""
    (folder / "chat.py").write_text(APP, encoding="utf-8")
    config = folder / "wscore.toml"
    config.write_text(snippet("wscore.toml", {"127.0.0.1:9100": "127.0.0.1:0"}), encoding="utf-8")
    arguments = ("--app", "chat:handler", "--config", config, "--port", 0, *options)
    env = {"PYTHONPATH": str(ROOT)} | keywords.pop("env", {})
    async with running("serve", *arguments, cwd=folder, env=env, **keywords) as program:
        while True:
            entry = json.loads(await program.read_line("stderr"))
            if entry["event"] == "listening":
                break
        yield int(entry["addresses"].rpartition(":")[2]) if "unix" not in entry["addresses"] else 0


@asynccontextmanager
async def visiting(port: int, certificate: Certificate, **headers: str) -> AsyncIterator[wscore.WebSocket]:
    """A connection to the site, as a browser makes it, through what listens on `port`."""
    with trio.fail_after(HANGING):
        stream = await trio.open_tcp_stream("127.0.0.1", port, local_address=CLIENT)
        async with wscore.connect(
            f"wss://{SITE}:{port}/room",
            stream=stream,
            ssl_context=certificate.trust,
            headers={"Origin": f"https://{SITE}:{port}", **headers},
        ) as ws:
            yield ws
