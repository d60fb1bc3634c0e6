"""What becomes of an end: its cause, and the errors that those who call get.

Decides nothing about when a connection ends; RFC 6455 section 7.1.5 says which code that has.
"""

from __future__ import annotations

from ..codec import CloseCode
from ..protocol.events import Close
from .deadline import Deadline
from .ends import Cause, End
from .errors import ConnectionClosed, ConnectionEnded, ConnectionLost

__all__ = ["Ending"]

_LIMITS = (CloseCode.MESSAGE_TOO_BIG, CloseCode.POLICY_VIOLATION)
_TIMED = (Cause.SILENT, Cause.UNCLOSED, Cause.STUCK)


class Ending:
    """What one connection knows of its end, before and after: the one table from ends to errors.

    ended by                                    receive (after what came before)   send, ping
    our `close` and `forget`, our `abort`       ConnectionEnded, at once           ConnectionEnded
    our `close`                                 ConnectionClosed, not by_peer      ConnectionLost
    the peer's Close frame                      ConnectionClosed, by_peer          ConnectionLost
    anything else                               ConnectionLost                     ConnectionLost
    """

    __slots__ = ("end", "failing", "forgot", "losing", "said", "seconds", "standstill")

    def __init__(self) -> None:
        self.end: End | None = None
        self.said: End | None = None
        """What we have said by `close` or `abort`, before the end."""
        self.forgot = False
        """Whether we want nothing more."""
        self.failing: Cause | None = None
        """What it is put down to if we fail the connection."""
        self.losing = Cause.EOF
        """What it is put down to if the bytes end."""
        self.seconds = self.standstill = 0.0

    def say(self, code: int, reason: str, cause: Cause) -> None:
        """We close or abort; the first time counts."""
        if self.said is None:
            self.said = End(int(code), reason, False, cause)

    def was_late(self, deadline: Deadline, now: float) -> None:
        """What `deadline` was for has not happened in time."""
        self.seconds, self.standstill = deadline.seconds(now), deadline.standstill

    def conclude(self, close: Close, *, has_failed: bool) -> None:
        """The `Connection` has come to its end; `has_failed` tells whether we have failed it."""
        if close.origin == "lost":
            cause = self.losing
        elif has_failed:
            cause = self.failing or (Cause.LIMIT if close.code in _LIMITS else Cause.RULE)
        else:
            cause = Cause.CLOSE
        times = (self.seconds, self.standstill) if cause in _TIMED else ()
        self.end = End(close.code, close.reason, close.origin == "peer", cause, *times)

    def receiving_error(self) -> ConnectionEnded | None:
        """What `receive` raises once nothing is left; None as long as something may come."""
        end = self.said or self.end
        if end is None:
            return None
        if self.forgot:
            return ConnectionEnded(end)
        return ConnectionClosed(end) if end.cause is Cause.CLOSE else ConnectionLost(end)

    def sending_error(self) -> ConnectionEnded:
        """What `send` raises once nothing can be sent."""
        end = self.said or self.end or End(CloseCode.ABNORMAL, "", False, self.losing)
        return ConnectionEnded(end) if self.forgot else ConnectionLost(end)
