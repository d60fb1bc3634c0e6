"""The way in over streams: the driver of `ServerOpening` where bytes come and go by a `trio.abc.Stream`.

Decides how what the opening asks for is waited for, and what interrupts that. What happens in which order, what is said
and how long it may take stands in `session.opening`.
"""

import ssl
from collections.abc import Awaitable, Callable
from contextlib import suppress

import trio

from wscore.session.opening import ServerOpening, Stage
from wscore.session.site.admission import Admission
from wscore.session.site.application import Answer
from wscore.session.site.limits import Place
from wscore.transport.addresses import addresses_of
from wscore.transport.linger import LINGER_TIME
from wscore.transport.tls import peer_has_gone, start_tls
from wscore.transport.trio_glue import unwrapped

__all__ = ["Entrance"]

_GONE = (trio.BrokenResourceError, trio.ClosedResourceError, OSError)


class Entrance:
    """Where the streams of one server come in."""

    def __init__(self, admission: Admission, ssl_context: ssl.SSLContext | None) -> None:
        self._admission = admission
        self._ssl_context = ssl_context
        self._newcomers: set[Newcomer] = set()

    def close(self) -> None:
        """Everybody gets 503, those at once whose request has not come yet."""
        self._admission.close()
        for newcomer in tuple(self._newcomers):
            newcomer.tell(ServerOpening.turn_away)

    async def admit(
        self, stream: trio.abc.Stream, place: Place | None = None, remote: object = None
    ) -> tuple[trio.abc.Stream, ServerOpening]:
        """Lead one connection in, or tell it why not: the stream to go on with, TLS included, and the opening, which
        says what is to be done with it.

        `place` is what it occupies, `remote` the peer's address, if that is known. Raises only what is no Exception;
        closes nothing. Cancelled, it is left as it is.
        """
        local, peer = addresses_of(stream)
        opening = ServerOpening(
            self._admission,
            local,
            remote or peer,
            trio.current_time(),
            speaks_tls=self._ssl_context is not None,
            is_encrypted=isinstance(stream, trio.SSLStream),
            place=place,
        )
        newcomer = Newcomer(opening, stream, self._ssl_context)
        if place is not None:
            place.waits(lambda: newcomer.tell(ServerOpening.give_way))
        self._newcomers.add(newcomer)
        try:
            await newcomer.come_in()
        except Exception:
            opening.closed("error")
            raise
        finally:
            self._newcomers.discard(newcomer)
        return newcomer.stream, opening


class Newcomer:
    """One connection on its way in: the driver of its opening on a stream."""

    def __init__(self, opening: ServerOpening, stream: trio.abc.Stream, ssl_context: ssl.SSLContext | None) -> None:
        self.opening = opening
        self.stream = stream
        self._ssl_context = ssl_context
        self._waits = trio.CancelScope()

    async def come_in(self) -> None:
        """Take one step after the other until the way has ended. Cancelled, it has not."""
        opening, deadline = self.opening, self.opening.deadline
        while opening.stage < Stage.OPEN:
            with trio.CancelScope(deadline=opening.deadline) as self._waits:
                if opening.stage is Stage.TLS:
                    await self._encrypt()
                elif (question := opening.question()) is not None:
                    await self._think(question)
                else:
                    await self._read()
            opening.time_is(trio.current_time())
        if output := opening.output():
            await self._say(output, max(deadline, trio.current_time() + LINGER_TIME))

    async def _say(self, output: bytes, deadline: float) -> None:
        """Say what there is to say, to whoever takes it in time."""
        with trio.move_on_at(deadline), suppress(*_GONE):
            await self.stream.send_all(output)
            return
        self.opening.closed()

    async def _encrypt(self) -> None:
        assert self._ssl_context is not None
        try:
            self.stream = await start_tls(self.stream, self._ssl_context, server_side=True)
        except OSError as error:
            self.opening.tls_failed(error, at_end=peer_has_gone(error))
        else:
            self.opening.tls_is_up()

    async def _read(self) -> None:
        try:
            data = await self.stream.receive_some(self.opening.most)
        except _GONE:
            self.opening.closed()
        else:
            self.opening.received(data) if data else self.opening.received_eof()

    async def _think(self, question: Awaitable[Answer]) -> None:
        """Wait for an application. If the peer goes meanwhile, it is interrupted: its place is given back."""
        answer: Answer | None = None
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._listen, nursery.cancel_scope)
                answer = await question
                nursery.cancel_scope.cancel()
        except BaseExceptionGroup as group:
            raise unwrapped(group) from None
        if answer is not None:
            self.opening.answered(answer)

    async def _listen(self, thinking: trio.CancelScope) -> None:
        while self.opening.wants_read:
            await self._read()
        if self.opening.stage is not Stage.HOOK:
            thinking.cancel()

    def tell(self, happened: Callable[[ServerOpening], object]) -> None:
        """Somebody else has called for an end; what is waited for may be of no use any more."""
        happened(self.opening)
        if self.opening.stage >= Stage.OPEN:
            self._waits.cancel()
