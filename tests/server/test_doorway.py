"""What the reactor's way in has to itself: its failures, and what it leaves behind."""

import gc

import pytest
import trio
import trio.testing

import wscore
from wscore.transport.trio_glue import unwrapped

from ..raw import dial, serving, status_of, url_of

pytestmark = pytest.mark.native


async def test_a_reactor_that_fails_while_the_server_drains_is_raised_too() -> None:
    from wscore.transport.reactor.running import reactor_of_this_run

    async def fail() -> None:
        async with serving() as server, dial(server) as raw, trio.open_nursery() as nursery:
            await raw.upgrade()
            nursery.start_soon(server.aclose)
            await trio.testing.wait_all_tasks_blocked()
            reactor_of_this_run().reactor.fail(ZeroDivisionError("the poller"))

    with pytest.raises(ExceptionGroup) as caught:
        await fail()
    assert isinstance(unwrapped(caught.value), ZeroDivisionError)


async def test_a_failure_after_a_long_thought_ends_that_connection_only(monkeypatch: pytest.MonkeyPatch) -> None:
    from wscore.server import doorway

    async def on_request(request: wscore.Request) -> wscore.Accept:
        await trio.lowlevel.checkpoint()
        return wscore.Accept()

    async with serving(on_request=on_request) as server:
        with monkeypatch.context() as patched:
            patched.setattr(doorway, "new_connection", None)
            async with wscore.connect(url_of(server)) as ws:
                with pytest.raises(wscore.ConnectionLost):
                    await ws.receive()
        assert server.statistics().errors == 1
        async with dial(server) as raw:
            await raw.ask()
            assert status_of(await raw.head()) == 101


async def test_nothing_of_the_opening_handshake_is_kept_as_long_as_the_connection() -> None:
    from wscore.protocol.handshake import ServerHandshake
    from wscore.server.doorway import Guest
    from wscore.transport.reactor.arrival import Arrival

    def alive() -> set[int]:
        gc.collect()
        return {id(each) for each in gc.get_objects() if isinstance(each, Guest | Arrival | ServerHandshake)}

    before = alive()
    async with serving() as server, dial(server) as raw:
        await raw.upgrade()
        assert alive() <= before
