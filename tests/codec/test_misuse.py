"""Compiled objects in the hands of those who read no documentation: an error or a defined result, never a crash."""

import sys

import pytest

from wscore.codec import CLIENT, SERVER, LocalProtocolError

from ..misuse import misuse
from ..wire import from_client

MODULES = [f"wscore.codec.native.{name}" for name in ("masking", "utf8", "frames", "reader", "writer", "deflate")]


@pytest.mark.native
@pytest.mark.parametrize("seed", range(4))
def test_no_misuse_of_any_class_crashes_the_interpreter(seed):
    misuse([*MODULES, "wscore.codec.native.kernels"], seed, calls=5000)


def careless(cls):
    """A subclass that forgets `super().__init__()`."""
    return type("Careless", (cls,), {"__init__": lambda self: None})


@pytest.mark.native
def test_what_was_never_initialised_works_with_defaults_or_keeps_nothing():
    from wscore.codec.native import deflate, reader, utf8, writer

    for pool in (careless(deflate.DeflatePool)(), deflate.DeflatePool.__new__(deflate.DeflatePool)):
        output = deflate.Deflater(pool=pool).deflate(b"hello")
        for cls in (deflate.Inflater, careless(deflate.Inflater)):
            assert cls.__new__(cls).inflate(output, 100) == b"hello"
    assert deflate.Deflater.__new__(deflate.Deflater).deflate(b"")
    assert careless(utf8.Utf8Validator)().validate(b"text")
    server = careless(writer.Writer)()
    server.write("text")
    assert server.take() == b"\x81\x04text"
    # Its limits are 0.
    client, out = careless(reader.Reader)(), []
    client.read(b"\x89\x00", out)
    assert client.control == (9, b"")
    client.read(b"\x82\x01a", out)
    assert client.defect is not None
    assert out == []


def test_a_pool_made_smaller_drops_what_is_too_much(codec):
    pool = codec.DeflatePool(3)
    deflaters = [codec.Deflater(pool=pool) for _ in range(3)]
    for deflater in deflaters:
        deflater.deflate(b"hello")
    pool.__init__(1)
    assert len(pool) <= 1
    for deflater in deflaters * 2:
        deflater.deflate(b"hello")
        assert len(pool) == 1


class Strange:
    """A prepared message whose frames are no bytes."""

    size = 3

    def __init__(self, frame):
        self._frame = frame

    def frame(self, window_bits):
        return self._frame

    def masked_frame(self, window_bits, key):
        return self._frame


@pytest.mark.parametrize("frame", [None, bytearray(b"abc"), "abc", 3, memoryview(b"abc")], ids=type)
@pytest.mark.parametrize("role", [SERVER, CLIENT])
def test_frames_of_a_prepared_message_are_bytes_or_nothing_is_written(codec, role, frame):
    writer = codec.Writer(role, deflater=codec.Deflater())
    for compress in (None, False):
        with pytest.raises(TypeError):
            writer.write_prepared(Strange(frame), compress)
        with pytest.raises(TypeError):
            codec.write_to_all([writer], Strange(frame), compress)
    assert writer.take() == b""


@pytest.mark.parametrize("wrong", [[None], [object()], None, 1])
def test_writers_are_writers(codec, wrong):
    with pytest.raises((TypeError, AttributeError)):
        codec.write_to_all(wrong, Strange(b"abc"))


class Interrupting(Strange):
    """A prepared message that begins a fragmented one while it is being framed."""

    def __init__(self, writer):
        super().__init__(b"\x82\x00")
        self._writer = writer

    def frame(self, window_bits):
        if not self._writer.in_message:
            self._writer.write_fragment(b"a", False)
        return b"\x82\x00"


def test_no_message_cuts_into_one_that_began_while_it_was_framed(codec):
    """RFC 6455 section 5.4."""
    writer = codec.Writer(SERVER)
    with pytest.raises(LocalProtocolError):
        writer.write_prepared(Interrupting(writer))
    assert writer.take() == b"\x02\x01a"


@pytest.mark.skipif(sys.version_info < (3, 12), reason="PEP 688")
def test_no_message_cuts_into_one_that_its_buffer_began(codec):
    class Exporter:
        def __buffer__(self, flags):
            if not writer.in_message:
                writer.write_fragment(b"a", False)
            return memoryview(b"b")

    writer = codec.Writer(SERVER)
    with pytest.raises(LocalProtocolError):
        writer.write(Exporter())
    assert writer.take() == b"\x02\x01a"


class Word(str):
    """Text that answers with other text."""

    def encode(self, *_):
        return b"other"

    def __len__(self):
        return 99

    def __str__(self):
        return "other"


def test_text_is_what_it_holds_whatever_its_class_says(protocol):
    codec = protocol.codec
    writer = codec.Writer(SERVER)
    writer.write(Word("word"))
    writer.write_fragment(Word("word"), True)
    assert writer.take() == b"\x81\x04word" * 2
    assert codec.encode_frame(1, Word("word")) == b"\x81\x04word"
    assert protocol.prepare(Word("word")).frame(None) == b"\x81\x04word"
    connection = protocol.Connection(SERVER)
    connection.close(1000, Word("word"))
    assert connection.data_to_send() == b"\x88\x06\x03\xe8word"


def test_a_writer_made_anew_within_a_compressed_fragment_takes_no_other_of_that_message():
    """As another thread may do, which has its turn while the pure twin compresses; the compiled one does as well."""
    from wscore.codec.pure.deflate import Deflater
    from wscore.codec.pure.writer import Writer

    class Interrupting(Deflater):
        def deflate(self, data, fin=True):
            writer.__init__(SERVER)
            return super().deflate(data, fin)

    writer = Writer(SERVER, deflater=Interrupting())
    writer.write_fragment("one", False)
    writer.take()
    with pytest.raises(LocalProtocolError, match="made anew"):
        writer.write_fragment("two", True)
    assert writer.take() == b""


@pytest.mark.parametrize("initialised_in", ["header", "payload", "message"])
def test_a_reader_that_is_initialised_again_begins_anew(codec, initialised_in):
    message = from_client(2, b"abc", fin=False) + from_client(0, b"def")
    reader, out = codec.Reader(SERVER), []
    reader.read(message[: {"header": 3, "payload": 7, "message": 9}[initialised_in]], out)
    reader.__init__(SERVER)
    reader.read(message, out)
    assert out == [b"abcdef"]
