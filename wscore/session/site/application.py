"""What the application says to a request: `authorize` says who it is from, `on_request` what it gets.

Decides their order, which answers they may give, how the two are put together, and that a failure of theirs is no fault
of the peer: it is logged and counted, and answered with 500. So nobody is let in by a hook that fails. Refuses to know
what else is asked of a request, and how an answer looks on the wire.
"""

from collections.abc import Awaitable, Callable
from typing import TypeAlias

from wscore.protocol.handshake import Accept, Page, Refuse, Request
from wscore.protocol.request import tell_user
from wscore.session.logs import escape
from wscore.session.site.auth import Authorize
from wscore.session.site.logs import fields, logger
from wscore.session.site.refusals import FAILED, Refusal
from wscore.session.site.statistics import Tally

__all__ = ["Answer", "Application", "OnRequest", "described"]

Answer: TypeAlias = Accept | Refuse | Page
OnRequest: TypeAlias = Callable[[Request], Answer | Awaitable[Answer]]


class Application:
    """The two hooks; None for either that there is not."""

    def __init__(self, authorize: Authorize | None, on_request: OnRequest, tally: Tally) -> None:
        self._authorize = authorize
        self._on_request = on_request
        self._tally = tally

    def ask(self, request: Request) -> Answer | Awaitable[Answer]:
        """The answer, or what to await for it. Neither raises an `Exception`.

        Only those who want a WebSocket are asked who they are. Cancelled, nothing has been answered.
        """
        if self._authorize is None or not request.is_upgrade:
            return self._ask(request)
        try:
            verdict = self._authorize(request)
            return (
                self._wait_for_verdict(request, verdict)
                if isinstance(verdict, Awaitable)
                else self._go_on(request, verdict)
            )
        except Exception:
            return self.failed("authorize", request)

    def failed(self, what: str, request: Request | None) -> Refusal:
        """Log and count the exception that is being handled; what to tell the peer."""
        self._tally.errors += 1
        facts = fields(kind=f"hook_failed: {what}", event="hook_failed", hook=what, path=request and request.path)
        logger.exception("%s to %s failed; it is answered with 500", what, described(request), extra=facts)
        return FAILED

    async def _wait_for_verdict(self, request: Request, thinking: Awaitable[Accept | Refuse]) -> Answer:
        try:
            answer = self._go_on(request, await thinking)
        except Exception:
            return self.failed("authorize", request)
        return await answer if isinstance(answer, Awaitable) else answer

    def _go_on(self, request: Request, verdict: object) -> Answer | Awaitable[Answer]:
        """`authorize` has spoken."""
        if isinstance(verdict, Refuse):
            return Refusal(verdict.status, verdict.sentence, "unauthorized", verdict.headers)
        if not isinstance(verdict, Accept):
            raise TypeError(f"authorize must return Accept or Refuse, not {type(verdict).__name__}")
        tell_user(request, verdict.user)
        return self._ask(request, verdict)

    def _ask(self, request: Request, verdict: Accept | None = None) -> Answer | Awaitable[Answer]:
        try:
            answer = self._on_request(request)
            return self._wait(request, answer, verdict) if isinstance(answer, Awaitable) else _joined(verdict, answer)
        except Exception:
            return self.failed("on_request", request)

    async def _wait(self, request: Request, thinking: Awaitable[Answer], verdict: Accept | None) -> Answer:
        try:
            return _joined(verdict, await thinking)
        except Exception:
            return self.failed("on_request", request)


def _joined(verdict: Accept | None, answer: object) -> Answer:
    """What both hooks say; where they differ, `on_request` has the last word."""
    if not isinstance(answer, Answer):
        raise TypeError(f"on_request must return Accept, Refuse or Page, not {type(answer).__name__}")
    if verdict is None or not isinstance(answer, Accept):
        return answer
    return Accept(
        verdict.subprotocol if answer.subprotocol is None else answer.subprotocol,
        [*verdict.headers, *answer.headers],
        verdict.user if answer.user is None else answer.user,
    )


def described(request: Request | None) -> str:
    """A request in a log: never its query, which may hold a token."""
    return "a request" if request is None else escape(f"{request.method} {request.path}")
