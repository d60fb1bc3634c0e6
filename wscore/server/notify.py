"""What a service manager is told: that the server is ready, reloads, or stops (sd_notify(3), `Type=notify`).

Decides how it is said: a datagram to the socket that NOTIFY_SOCKET names. Nobody there, or no such variable, is no
error: a server serves without an audience.
"""

import os
import socket
import time
from collections.abc import MutableMapping
from contextlib import suppress

__all__ = ["Notifier"]


class Notifier:
    """The way to the service manager, if there is one. The variable is removed: no child speaks for this process."""

    def __init__(self, environ: MutableMapping[str, str]) -> None:
        self._path = environ.pop("NOTIFY_SOCKET", "")

    def ready(self, status: str) -> None:
        """Everything is up; `status` is a line for people."""
        self._say(f"READY=1\nSTATUS={status}")

    def reloading(self) -> None:
        """The configuration is being read anew; `ready` follows."""
        self._say(f"RELOADING=1\nMONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}")

    def stopping(self) -> None:
        """The end has begun."""
        self._say("STOPPING=1\nSTATUS=closing all connections")

    def _say(self, text: str) -> None:
        """An address is a path, or an abstract name with @ in front."""
        if not self._path.startswith(("/", "@")) or not hasattr(socket, "AF_UNIX"):
            return
        address = os.fsencode(self._path)
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.connect(b"\0" + address[1:] if address.startswith(b"@") else address)
            sock.send(text.encode())
