"""What the compiled codec keeps in memory, and for how long."""

import gc
import sys
import tracemalloc
from collections.abc import Callable

import pytest

from wscore.codec import CLIENT, SERVER, Stop

from ..wire import BINARY, KEY, PING, TEXT, Frame, from_client, header

pytestmark = [pytest.mark.native, pytest.mark.parametrize("codec", ["native"], indirect=True)]


def kept(action: Callable[[], object]) -> int:
    """How many bytes `action` leaves allocated."""
    action()  # whatever is made only once
    gc.collect()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        result = action()
        after = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    del result
    return after - before


def test_a_connection_s_reader_and_writer_are_small(codec):
    # Beyond the header of any object, which is larger where there is no GIL.
    sizes = codec.Reader.__basicsize__ + codec.Writer.__basicsize__ - 2 * object.__basicsize__
    assert sizes <= 288


def test_the_garbage_collector_has_nothing_to_visit(codec):
    """None of them can be part of a cycle, so a hundred thousand connections make no collection slower."""
    objects = (codec.Reader(SERVER), codec.Writer(SERVER), codec.Deflater(), codec.Inflater(), codec.DeflatePool())
    assert not any(gc.is_tracked(value) for value in objects)


def test_text_is_not_cached_in_the_caller_s_string(codec):
    text = "żółw" * 100
    size = sys.getsizeof(text)
    writer = codec.Writer(CLIENT)
    writer.write(text)
    writer.write_fragment(text, True)
    assert sys.getsizeof(text) == size


def test_a_large_payload_is_the_caller_s_object(codec):
    payload = bytes(1 << 14)
    writer = codec.Writer(SERVER)
    writer.write(b"before")
    writer.write(payload)
    writer.write(b"after")
    assert writer.take_buffers()[1] is payload


def test_an_empty_writer_owns_no_buffer(codec):
    writer = codec.Writer(SERVER)

    def send() -> None:
        writer.write("x" * 100_000)
        writer.take()

    assert kept(send) < 200


@pytest.mark.parametrize("opcode", [TEXT, BINARY])
def test_little_room_is_taken_for_a_message_of_which_little_has_come(codec, opcode):
    start = header(Frame(opcode, key=KEY), 1 << 20) + b"x"

    def receive() -> object:
        reader = codec.Reader(SERVER)
        reader.read(start, [])
        return reader

    assert kept(receive) < 17 << 10


def test_no_room_is_taken_for_fragments_that_were_not_announced(codec):
    start = from_client(BINARY, b"x", fin=False)

    def receive() -> object:
        reader = codec.Reader(SERVER)
        reader.read(start, [])
        return reader

    assert kept(receive) < 1 << 10


def test_room_is_taken_in_proportion_to_what_has_come(codec):
    data = header(Frame(BINARY, key=KEY), 1 << 20) + bytes(100_000)

    def receive() -> object:
        reader = codec.Reader(SERVER)
        for start in range(0, len(data), 10_000):
            reader.read(data[start : start + 10_000], [])
        return reader

    assert kept(receive) < 2 * 110_000 + 1024


def test_a_failed_reader_keeps_nothing_of_the_message(codec):
    data = header(Frame(TEXT, key=KEY), 1 << 16) + from_client(TEXT, b"x" * 50_000)[6:]

    def receive() -> object:
        reader = codec.Reader(SERVER)
        reader.read(data, [])
        reader.read(b"\xff\xff\xff\xff", [])
        assert reader.stop is Stop.DEFECT
        return reader

    assert kept(receive) < 1 << 10


def test_the_caller_s_buffer_is_free_again_however_a_read_ends(codec):
    for data in (from_client(BINARY, b"ab"), from_client(PING), from_client(TEXT, b"\xff"), from_client(3), b"\x81"):
        buffer = bytearray(data)
        codec.Reader(SERVER).read(buffer, [])
        buffer.clear()  # raises BufferError while anybody looks at it


def test_the_caller_s_buffer_is_free_again_after_an_error(codec):
    buffer = bytearray(b"a" * 126)
    with pytest.raises(ValueError):
        codec.Writer(SERVER).write_control(PING, buffer)
    with pytest.raises(ValueError):
        codec.mask(buffer, b"abc")
    with pytest.raises(ValueError):
        codec.encode_frame(3, buffer)
    with pytest.raises(ValueError):
        codec.Inflater().inflate(buffer, 0)
    buffer.clear()


def test_a_pool_forgets_compressors_whose_owner_is_gone(codec):
    pool = codec.DeflatePool(2)
    owners = [codec.Deflater(pool=pool) for _ in range(2)]
    for owner in owners:
        owner.deflate(b"first")
    del owners[0], owner
    assert len(pool) == 1
    owners.clear()
    assert len(pool) == 0


def test_a_pool_lives_as_long_as_a_deflater_uses_it(codec):
    deflater = codec.Deflater(pool=codec.DeflatePool(1))
    other = codec.Deflater()
    assert [deflater.deflate(b"message") for _ in range(3)] == [other.deflate(b"message") for _ in range(3)]


def test_a_recycled_compressor_compresses_as_a_new_one(codec):
    pool = codec.DeflatePool(1)
    first, second = codec.Deflater(pool=pool), codec.Deflater(pool=pool)
    first.deflate(bytes(range(256)) * 40)
    assert second.deflate(b"message" * 40) == codec.Deflater().deflate(b"message" * 40)


def test_a_lent_inflater_shows_nothing_of_its_last_message(codec):
    """A reference to what came before the message is an error, also where the memory still has it."""
    pool = codec.DeflatePool(1)
    deflater = codec.Deflater()
    first, second = deflater.deflate(b"secret " * 40), deflater.deflate(b"secret " * 40)
    lender = codec.Inflater(context_takeover=False, pool=pool)
    assert lender.inflate(first, 1 << 10) + lender.finish(1 << 10) == b"secret " * 40
    borrower = codec.Inflater(context_takeover=False, pool=pool)
    with pytest.raises(ValueError):
        borrower.inflate(second, 1 << 10)
