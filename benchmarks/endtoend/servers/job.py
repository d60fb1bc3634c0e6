"""What a server is asked to do, where it listens, and how it says that it is ready.

It prints one JSON line, `{"port": ..., "versions": {...}}`, and serves until it is killed.
"""

from __future__ import annotations

import argparse
import json
import platform
import socket
import ssl
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

__all__ = ["Job", "announce", "job", "listen"]

BACKLOG = 4096


@dataclass(frozen=True)
class Job:
    """`fanout`: what one sends goes to all; else to itself. `keepalive` is in seconds; None: the library's default."""

    way: str
    fanout: bool
    compress: bool
    keepalive: float | None
    transport: str
    tls: Path | None

    def ssl_context(self) -> ssl.SSLContext | None:
        if self.tls is None:
            return None
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(self.tls / "certificate.pem", self.tls / "key.pem")
        return context


def job(*ways: str) -> Job:
    """What the command line says; `ways` are those in which this server can work."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--way", choices=ways or ("",), default=ways[0] if ways else "")
    parser.add_argument("--fanout", action="store_true", help="send what comes to all, instead of back")
    parser.add_argument("--compress", action="store_true", help="permessage-deflate")
    parser.add_argument("--keepalive", type=float, metavar="SECONDS", help="ping this often")
    parser.add_argument("--transport", choices=("auto", "reactor", "stream"), default="auto", help="wscore's")
    parser.add_argument("--tls", type=Path, metavar="FOLDER", help="with certificate.pem and key.pem")
    return Job(**vars(parser.parse_args()))


def listen() -> socket.socket:
    return socket.create_server(("127.0.0.1", 0), backlog=BACKLOG)


def announce(port: int, *packages: str) -> None:
    """Say that connections are welcome, and what runs."""
    versions = {"Python": platform.python_version(), **{name: version(name) for name in packages}}
    print(json.dumps({"port": port, "versions": versions}), flush=True)
