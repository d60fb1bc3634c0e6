"""Objects of the compiled codec in the hands of several threads, with a GIL and without.

Two promises. No use from threads corrupts memory, whatever comes out. And where every call is a whole message, threads
that share a Reader, a Writer or a pool lose nothing and spoil nothing.

On a free-threaded interpreter this is a test of the critical sections; `.ci/free_threading.py` runs it under
ThreadSanitizer, too.
"""

import random
import sys
import sysconfig
import threading
from collections import Counter
from contextlib import suppress
from functools import partial
from itertools import chain

import pytest

from wscore.codec import CLIENT, SERVER, DefectError, LocalProtocolError, Stop, errors

from ..threads import at_once
from ..wire import BINARY, PING, TEXT, from_client, from_server

pytestmark = [pytest.mark.native, pytest.mark.parametrize("codec", ["native"], indirect=True)]

THREADS = 4
JSON = '{"id": %d, "price": 4.25, "name": "żółw", "tags": ["a", "b", "c"], "stock": true, "note": null}'


@pytest.fixture
def rounds(request):
    return 5000 if request.config.getoption("--long") else 200


def repeated(times, action):
    """`action`, over and over, whatever it raises."""

    def repeat():
        for _ in range(times):
            with suppress(DefectError, LocalProtocolError, ValueError, BufferError):
                action()

    return repeat


def test_a_free_threaded_interpreter_stays_without_a_gil(codec):
    assert codec.Reader.__module__.startswith("wscore.codec.native")
    if sysconfig.get_config_var("Py_GIL_DISABLED"):
        assert not sys._is_gil_enabled()


# Whole messages


def test_threads_that_read_whole_messages_lose_none(codec, rounds):
    reader = codec.Reader(SERVER)
    out: list[str] = []

    def read(thread: int) -> None:
        for number in range(rounds):
            data = from_client(TEXT, f"{thread}: żółw {number}".encode())
            assert reader.read(data, out) == len(data)

    at_once(*(partial(read, thread) for thread in range(THREADS)))
    assert Counter(out) == Counter(f"{thread}: żółw {n}" for thread in range(THREADS) for n in range(rounds))


def taken_while(writer, *actions) -> bytes:
    """What one thread takes from the writer while others act."""
    taken = []
    done = threading.Event()

    def take() -> None:
        while not done.is_set():
            taken.extend(writer.take_buffers())

    taker = threading.Thread(target=take)
    taker.start()
    try:
        at_once(*actions)
    finally:
        done.set()
        taker.join()
    return b"".join(taken) + writer.take()


@pytest.mark.parametrize("role", [SERVER, CLIENT])
def test_threads_that_write_whole_messages_spoil_none(codec, role, rounds):
    writer = codec.Writer(role)
    messages = [b"x" * 100, "y" * 100, "ż" * 1000, bytes(1 << 14), bytearray(b"z")]

    def write() -> None:
        for _ in range(rounds // len(messages)):
            for message in messages:
                writer.write(message)
            writer.write_control(PING, b"still there?")

    peer = codec.Reader(CLIENT if role is SERVER else SERVER)
    counted = Counter(messages_in(peer, taken_while(writer, *[write] * THREADS)))
    assert set(counted) == {bytes(m) if type(m) is bytearray else m for m in messages} | {(PING, b"still there?")}
    assert set(counted.values()) == {THREADS * (rounds // len(messages))}


def messages_in(reader, data):
    """All messages and control frames in `data`."""
    out: list[object] = []
    at = 0
    while at < len(data):
        at = reader.read(data, out, None, at)
        assert reader.stop is not Stop.DEFECT
        if reader.stop is Stop.CONTROL:
            out.append(reader.control)
    return out


@pytest.mark.parametrize("takeover", [True, False])
def test_threads_that_share_a_compressing_writer_and_a_pool_write_what_can_be_inflated(codec, takeover, rounds):
    """The pool is too small for all of them: compressors change hands all the time."""
    pool = codec.DeflatePool(1)
    writers = [
        codec.Writer(SERVER, deflater=codec.Deflater(12, context_takeover=takeover, pool=pool)) for _ in range(2)
    ]
    written = [JSON % number for number in range(rounds)]

    def write() -> None:
        for text in written:
            for writer in writers:
                writer.write(text)

    at_once(*[write] * THREADS)
    for writer in writers:
        reader = codec.Reader(CLIENT, inflater=codec.Inflater(12, context_takeover=takeover))
        out: list[str] = []
        reader.read(writer.take(), out)
        assert reader.defect is None
        assert Counter(out) == Counter(written * THREADS)


def test_threads_with_deflaters_of_one_pool_get_what_they_would_get_alone(codec, rounds):
    pool = codec.DeflatePool(2)

    def talk(seed: int) -> None:
        texts = random.Random(seed)
        deflater = codec.Deflater(9 + seed % 2, pool=pool)
        inflater = codec.Inflater(9 + seed % 2, context_takeover=False, pool=pool)
        receiver = codec.Inflater(9 + seed % 2, pool=pool)
        for number in range(rounds):
            data = (JSON % number).encode() * texts.randrange(1, 4)
            compressed = deflater.deflate(data)
            assert receiver.inflate(compressed, 1 << 16) + receiver.finish(1 << 16) == data
            if number % 7 == 0:
                deflater.drop()
                alone = codec.Deflater(9, context_takeover=False, pool=pool).deflate(data)
                assert inflater.inflate(alone, 1 << 16) + inflater.finish(1 << 16) == data

    at_once(*(partial(talk, seed) for seed in range(THREADS)))
    assert len(pool) == 0


def test_a_prepared_message_is_written_by_many_threads(codec, protocol, rounds):
    message = protocol.prepare(JSON)
    pool = codec.DeflatePool(1)
    writers = [codec.Writer(SERVER, deflater=codec.Deflater(pool=pool)), codec.Writer(SERVER)]

    def broadcast() -> None:
        for _ in range(rounds):
            assert codec.write_to_all(writers, message) == 2
            writers[0].write(JSON)

    at_once(*[broadcast] * THREADS)
    for writer, times in zip(writers, (2, 1), strict=True):
        out: list[str] = []
        codec.Reader(CLIENT, inflater=codec.Inflater()).read(writer.take(), out)
        assert out == [JSON] * (times * THREADS * rounds)


def test_no_two_threads_get_the_same_mask_key(codec):
    keys: list[list[bytes]] = [[] for _ in range(THREADS)]
    at_once(*(partial(lambda own: own.extend(codec.new_mask_key() for _ in range(3000)), own) for own in keys))
    # Among 12,000 random keys of 32 bits, one pair in 60 runs is equal by chance; 4 would never be.
    assert len(set(chain(*keys))) > THREADS * 3000 - 4


# Anything goes, but for memory


def test_a_reader_survives_whatever_threads_do_to_it(codec, rounds):
    inflater = codec.Inflater(pool=codec.DeflatePool(1))
    reader = codec.Reader(SERVER, inflater=inflater)
    compressed = codec.Deflater().deflate(JSON.encode() * 50)
    stream = b"".join(
        [
            from_client(TEXT, "żółw".encode() * 40, fin=False),
            from_client(PING, b"ping"),
            from_client(0, "żółw".encode() * 400),
            from_client(TEXT, compressed[:40], rsv=4, fin=False),
            from_client(0, compressed[40:]),
            from_client(BINARY, bytes(1000)),
        ]
    )
    shared: list[object] = []

    def read(seed: int) -> None:
        cuts = random.Random(seed)
        for _ in range(rounds):
            at = cuts.randrange(len(stream))
            reader.read(stream[at : at + cuts.randrange(1, 600)], shared, cuts.choice([None, 1000]))

    def begin_anew() -> None:
        for number in range(rounds):
            reader.__init__(SERVER, pieces=number % 2 == 0, inflater=codec.Inflater() if number % 3 else inflater)

    def look() -> None:
        for _ in range(rounds):
            assert reader.stop in Stop
            assert (reader.control or (PING, b""))[0] == PING
            assert (reader.defect or errors.LENGTH_TOP_BIT).code
            assert (reader.kept, reader.spent, reader.in_message) >= (0, 0, False)
            shared.clear()

    def inflate() -> None:
        inflater.inflate(compressed, 1 << 16)
        inflater.finish(1 << 16)

    readers = [partial(read, seed) for seed in range(THREADS)]
    at_once(*readers, begin_anew, look, repeated(rounds, inflate))


def test_a_writer_survives_whatever_threads_do_to_it(codec, protocol, rounds):
    pool = codec.DeflatePool(1)
    deflater = codec.Deflater(pool=pool)
    writer = codec.Writer(CLIENT, deflater=deflater)
    message = protocol.prepare(b"prepared")
    writes = [
        lambda: writer.write("żółw" * 100, True),
        lambda: writer.write(bytes(1 << 14)),
        lambda: writer.write_fragment("żółw", False),
        lambda: writer.write_fragment(b"", True),
        lambda: writer.write_control(PING, b"ping"),
        lambda: writer.write_raw(from_client(BINARY, b"raw")),
        lambda: writer.write_prepared(message),
        lambda: codec.write_to_all([writer, writer], message, True),
        lambda: writer.__init__(SERVER, deflater=random.choice([deflater, None, codec.Deflater(pool=pool)])),
        lambda: (writer.pending, writer.in_message, writer.compresses(100)),
        writer.take,
        writer.take_buffers,
        deflater.drop,
        lambda: deflater.deflate(b"beside the writer"),
    ]
    at_once(*(repeated(rounds, action) for action in writes))


def test_deflaters_inflaters_and_pools_survive_whatever_threads_do_to_them(codec, rounds):
    pools = [codec.DeflatePool(1), codec.DeflatePool(2), None]
    deflater = codec.Deflater()
    inflater = codec.Inflater()
    compressed = deflater.deflate(b"hello" * 1000)
    actions = [
        lambda: deflater.deflate(b"hello" * 1000, random.random() < 0.5),
        lambda: deflater.deflate(b""),
        lambda: deflater.__init__(random.randrange(9, 16), pool=random.choice(pools)),
        deflater.drop,
        lambda: inflater.inflate(compressed, 1 << 16),
        lambda: inflater.inflate(compressed[:9], 7),
        lambda: inflater.finish(100),
        lambda: inflater.__init__(random.randrange(8, 16), pool=random.choice(pools)),
        lambda: pools[0].__init__(random.randrange(1, 3)),
        lambda: [len(pool) for pool in pools[:2]],
        lambda: codec.Deflater(pool=pools[1]).deflate(b"soon gone"),
    ]
    at_once(*(repeated(rounds, action) for action in actions * 2))


def test_a_validator_survives_whatever_threads_do_to_it(codec, rounds):
    validator = codec.Utf8Validator()
    text = "żółw".encode()
    actions = [
        lambda: validator.validate(text[:5]),
        lambda: validator.validate(text[5:]),
        validator.complete,
        validator.reset,
    ]
    at_once(*(repeated(rounds, action) for action in actions))
    validator.reset()
    assert validator.validate(text)
    assert validator.complete()


def test_memory_that_others_write_to_is_looked_at_only_once(codec, rounds):
    """What is measured and then written is a copy: a text that has more characters than it had a moment ago, or a
    header that says something else, must not be believed.
    """
    frames = [from_server(TEXT, b"ab" * 62), from_server(TEXT, "ż".encode() * 62), from_server(3, b"xy" * 62)]
    frames.append(from_server(TEXT, b"x" * 122, rsv=4) + b"xx")
    data = bytearray(frames[0])
    view = memoryview(data)
    writer = codec.Writer(CLIENT, deflater=codec.Deflater())
    inflater = codec.Inflater()

    def read() -> None:
        out: list[str] = []
        codec.Reader(CLIENT).read(data, out)
        codec.Reader(CLIENT, pieces=True).read(data, out)
        assert all(len(str(message)) for message in out)

    def spoil() -> None:
        for frame in frames:
            view[:] = frame

    def other() -> None:
        codec.is_valid_utf8(data)
        codec.Utf8Validator().validate(data)
        codec.mask(data, b"abcd")
        codec.mask_inplace(view, b"abcd")
        codec.encode_frame(BINARY, data, key=b"abcd")
        writer.write(data)
        writer.write(data, compress=False)
        writer.take()
        inflater.inflate(data, 1000)

    at_once(*(repeated(rounds, action) for action in (read, read, spoil, other, other)))


def test_a_bytearray_is_masked_in_place_while_others_resize_it(codec, rounds):
    buffer = bytearray(1000)

    def mask() -> None:
        codec.mask_inplace(buffer, b"abcd")

    def resize() -> None:
        buffer.extend(bytes(random.randrange(1000)))
        del buffer[100:]
        buffer.clear()

    at_once(*(repeated(rounds, action) for action in (mask, mask, resize, resize)))
    buffer[:] = b"\0\0\0\0"
    mask()
    assert buffer == b"abcd"
