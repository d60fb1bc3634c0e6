"""One message for many connections: what `prepare` makes, frame by frame."""

import array
import zlib

import pytest

from ..wire import BINARY, KEY, TEXT, Frame, decode

PAYLOAD = b"fish and chips, " * 64


def inflate(payload, window_bits):
    """Inflate one message that stands alone (RFC 7692 section 7.2.2)."""
    return zlib.decompress(payload + b"\x00\x00\xff\xff\x03\x00", -window_bits)


def test_text_is_framed_as_utf_8(protocol):
    message = protocol.prepare("Grüße")
    assert decode(message.frame(None)) == [Frame(TEXT, "Grüße".encode())]


@pytest.mark.parametrize(
    "message",
    [
        b"\x00\x80",
        bytearray(b"\x00\x80"),
        memoryview(b"\x00\x80"),
        array.array("b", [0, -128]),
        memoryview(b"\0.\x80")[::2],
    ],
)
def test_any_buffer_is_framed_as_binary(protocol, message):
    assert decode(protocol.prepare(message).frame(None)) == [Frame(BINARY, b"\x00\x80")]


def test_what_is_prepared_stays_what_it_was(protocol):
    """Whoever goes on writing to the buffer changes no message."""
    buffer = bytearray(b"before")
    message = protocol.prepare(buffer)
    buffer[:] = b"behind"
    assert decode(message.frame(None))[0].payload == b"before"


@pytest.mark.parametrize("wrong", [5, None, ["a"], 1.5, object()])
def test_other_types_are_refused(protocol, wrong):
    """In particular no number: bytes(5) would be five zero bytes."""
    with pytest.raises(TypeError):
        protocol.prepare(wrong)


def test_lone_surrogates_are_refused(protocol):
    """RFC 6455 section 8.1: text is UTF-8, which has none."""
    with pytest.raises(UnicodeEncodeError):
        protocol.prepare("\ud800")


@pytest.mark.parametrize("window_bits", range(9, 16))
def test_a_compressed_frame_stands_alone_in_its_window(protocol, window_bits):
    """RFC 7692 section 7.2.1: RSV1 says so, and the tail of the flush is left out."""
    [frame] = decode(protocol.prepare(PAYLOAD).frame(window_bits))
    assert (frame.opcode, frame.fin, frame.rsv) == (BINARY, True, 4)
    assert inflate(frame.payload, window_bits) == PAYLOAD
    assert len(frame.payload) < len(PAYLOAD) / 8


def test_an_empty_message_is_compressed_as_the_rfc_says(protocol):
    """RFC 7692 section 7.2.3.6."""
    [frame] = decode(protocol.prepare("").frame(15))
    assert inflate(frame.payload, 15) == b""


def test_a_frame_is_made_once_for_each_window(protocol):
    message = protocol.prepare(PAYLOAD)
    for window_bits in (None, 9, 15):
        assert message.frame(window_bits) is message.frame(window_bits)
    assert message.compressed(9) is message.compressed(9)


def test_masked_frames_share_the_compressed_payload_and_nothing_else(protocol):
    """RFC 6455 section 5.3: a fresh key for every frame."""
    message = protocol.prepare(PAYLOAD)
    for window_bits, rsv in ((None, 0), (12, 4)):
        payload = PAYLOAD if window_bits is None else message.compressed(12)
        for key in (KEY, b"abcd"):
            assert decode(message.masked_frame(window_bits, key)) == [Frame(BINARY, payload, True, rsv, key)]


def test_a_broadcast_reaches_all_who_can_take_it(side):
    idle, busy, closing = side.open(), side.open(), side.open()
    busy.send_fragment("half", fin=False)
    closing.close()
    for connection in (busy, closing):
        side.sent(connection)
    broadcast = side.protocol.broadcast
    for message in ("Grüße", side.protocol.prepare("Grüße")):
        assert broadcast(message, [idle, busy, closing]) == 1
        assert side.sent(idle) == [Frame(TEXT, "Grüße".encode())]
        assert side.sent(busy) == side.sent(closing) == []


def test_what_cannot_be_sent_is_not_broadcast(side):
    connection = side.open()
    for message, error in (("\ud800", UnicodeEncodeError), (5, TypeError)):
        with pytest.raises(error):
            side.protocol.broadcast(message, [connection])
    assert connection.data_to_send() == b""
