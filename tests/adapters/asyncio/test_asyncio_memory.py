"""What connections receive into: memory of their loop, so that loops in other threads do not disturb it."""

import asyncio
import gc
import importlib
import sys
import threading
import weakref

MODULE = "wscore.adapters.asyncio.memory"


def test_each_loop_has_memory_of_its_own_which_ends_with_it() -> None:
    receive_memory = importlib.import_module(MODULE).receive_memory
    one, other = asyncio.new_event_loop(), asyncio.new_event_loop()
    assert receive_memory(one) is receive_memory(one)
    assert receive_memory(one) is not receive_memory(other)
    gone = weakref.ref(receive_memory(one))
    one.close()
    other.close()
    del one
    gc.collect()
    assert gone() is None


def test_connections_in_several_threads_get_their_own_messages(aio) -> None:
    """Two loops at once, each with a server and a client, whose messages consist of one byte each."""

    async def talk(filler: bytes) -> None:
        message = filler * 100_000
        async with aio.serving() as server, aio.connect(server) as ws:
            for _ in range(150):
                await ws.send(message)
                assert await ws.receive() == message

    def run(filler: bytes) -> None:
        try:
            with asyncio.Runner(loop_factory=aio.new_loop) as runner:
                runner.run(asyncio.wait_for(talk(filler), 60))
        except BaseException as error:
            failures.append(error)

    failures: list[BaseException] = []
    threads = [threading.Thread(target=run, args=(filler,)) for filler in (b"a", b"b")]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert failures == []
