"""What a supervisor and its workers say to each other, over a pair of sockets that both have from before the fork.

Decides the words, one a line: the supervisor sends commands, the worker answers in JSON. When one of them ends, in
whatever way, the other reads the end of the connection: no worker outlives its supervisor unnoticed.

Refuses to know what commands do.
"""

import json
import socket
from contextlib import suppress
from enum import Enum
from typing import Any

__all__ = ["Command", "WorkerLink", "report"]

_RECEIVE_SIZE = 1 << 16


class Command(Enum):
    """What a supervisor tells a worker."""

    SNAPSHOT = b"snapshot"
    """Report what has been counted."""
    RELOAD = b"reload"
    """Read the certificate anew."""
    DRAIN = b"drain"
    """Close all connections properly, then end."""
    END = b"end"
    """End at once."""

    @property
    def line(self) -> bytes:
        """As it is sent."""
        return self.value + b"\n"


def report(**values: object) -> bytes:
    """Return a line from a worker to its supervisor: `ready`, or a `snapshot`."""
    return json.dumps(values).encode() + b"\n"


class WorkerLink:
    """The supervisor's end. Nothing here blocks; a worker that does not listen is no error."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.has_ended = False
        self._received = bytearray()
        sock.setblocking(False)

    def tell(self, command: Command) -> None:
        """Send a command. If the worker has gone, or has not listened for thousands of them, it is lost."""
        with suppress(OSError):
            self.sock.send(command.line)

    def reports(self) -> list[dict[str, Any]]:
        """Return what has come since the last call; `has_ended` says afterwards whether no more will."""
        try:
            while data := self.sock.recv(_RECEIVE_SIZE):
                self._received += data
            self.has_ended = True
        except BlockingIOError:
            pass
        except OSError:
            self.has_ended = True
        *lines, rest = bytes(self._received).split(b"\n")
        self._received[:] = rest
        return [json.loads(line) for line in lines]

    def close(self) -> None:
        """Close this end: the worker, if it still lives, drains and ends."""
        self.sock.close()
