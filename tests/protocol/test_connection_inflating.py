"""Compressed messages that a `Connection` receives, in both roles (RFC 7692 sections 6 and 7): all four parameters,
every form that the RFC shows, fragments, pieces, broken rules and limits.
"""

import pytest

from wscore.codec import Piece
from wscore.protocol.events import Ping
from wscore.protocol.extensions import DeflateParameters

from ..wire import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, Frame, close_payload
from .deflate_peer import ALL_PARAMETERS, HELLO, MIB, NOISE, POLICIES, RSV1, TEXTS, agree

# Receiving


@pytest.mark.parametrize(
    ("payload", "kind"),
    [
        ("f248cdc9c90700", "one block"),
        ("000500faff48656c6c6f00", "a block without compression"),
        ("f348cdc9c9070000", "a final block"),
        ("f248050000 00ffffcac9c90700", "two blocks"),
    ],
)
def test_hello_in_all_the_ways_of_the_rfc(side, payload, kind):
    """RFC 7692 sections 7.2.3.1 and 7.2.3.3 to 7.2.3.5."""
    connection, _ = agree(side)
    assert connection.receive_data(side.peer(TEXT, bytes.fromhex(payload), rsv=RSV1)) == ["Hello"], kind


def test_hello_in_two_frames(side):
    """RFC 7692 section 7.2.3.1: only the first one has RSV1."""
    connection, _ = agree(side)
    first = side.peer(TEXT, HELLO[:3], rsv=RSV1, fin=False)
    assert connection.receive_data(first + side.peer(CONTINUATION, HELLO[3:])) == ["Hello"]


def test_hello_again_from_the_window(side):
    """RFC 7692 section 7.2.3.2: a peer that has not promised to forget may refer to its last message."""
    connection, _ = agree(side)
    data = side.peer(TEXT, HELLO, rsv=RSV1) + side.peer(TEXT, bytes.fromhex("f200110000"), rsv=RSV1)
    assert connection.receive_data(data) == ["Hello", "Hello"]


def test_an_empty_message(side):
    """RFC 7692 section 7.2.3.6."""
    connection, _ = agree(side)
    assert connection.receive_data(side.peer(TEXT, b"\x00", rsv=RSV1)) == [""]


@pytest.mark.parametrize("policy", POLICIES)
def test_compressed_messages_are_received_under_all_parameters(side, policy):
    """RFC 7692 section 7.1.2."""
    for parameters in ALL_PARAMETERS:
        connection, peer = agree(side, policy, parameters)
        for message in [NOISE, NOISE, b"", NOISE + NOISE]:
            data = side.peer(BINARY, peer.compress(message), rsv=RSV1)
            assert connection.receive_data(data) == [message], parameters


def test_a_peer_may_send_any_message_uncompressed(side):
    """RFC 7692 section 6: RSV1 tells; the window does not notice."""
    connection, peer = agree(side)
    for text in TEXTS:
        plain, compressed = text.encode(), peer.compress(text.encode())
        data = side.peer(TEXT, plain) + side.peer(TEXT, compressed, rsv=RSV1) + side.peer(TEXT, plain)
        assert connection.receive_data(data) == [text] * 3


@pytest.mark.parametrize("cut", range(8))
def test_fragments_are_cut_anywhere_with_control_frames_between(side, cut):
    """RFC 7692 section 6.1."""
    connection, _ = agree(side)
    first = side.peer(TEXT, HELLO[:cut], rsv=RSV1, fin=False)
    data = first + side.peer(PING, b"p") + side.peer(CONTINUATION, fin=False) + side.peer(CONTINUATION, HELLO[cut:])
    assert connection.receive_data(data) == [Ping(b"p"), "Hello"]


def test_compressed_messages_are_received_byte_by_byte(side):
    connection, peer = agree(side)
    for text in TEXTS:
        data = side.peer(TEXT, peer.compress(text.encode()), rsv=RSV1)
        events = [connection.receive_data(data[i : i + 1]) for i in range(len(data))]
        assert events[-1] == [text]
        assert not any(events[:-1])


def test_a_budget_counts_what_comes_out_of_the_inflater(side):
    connection, peer = agree(side)
    data = b"".join(side.peer(BINARY, peer.compress(bytes(1000)), rsv=RSV1) for _ in range(3))
    assert connection.receive_data(data, 1065) == [bytes(1000)] * 2
    assert connection.receive_data(b"", 1) == [bytes(1000)]


# Broken rules and limits


def assert_failed(side, connection, events, code):
    [close] = events
    assert (close.code, close.origin) == (code, "local")
    assert side.sent(connection) == [Frame(CLOSE, close_payload(code, close.reason.encode()))]


@pytest.mark.parametrize(
    ("opcode", "rsv"), [(TEXT, 1), (TEXT, 2), (BINARY, 5), (TEXT, 6), (PING, 4), (PONG, 4), (CLOSE, 4)]
)
def test_other_bits_are_still_reserved_and_control_frames_are_not_compressed(side, opcode, rsv):
    """RFC 7692 section 6; RFC 6455 section 5.2."""
    connection, _ = agree(side)
    assert_failed(side, connection, connection.receive_data(side.peer(opcode, b"\x00", rsv=rsv)), 1002)


@pytest.mark.parametrize("first", [0, RSV1])
def test_only_a_first_fragment_may_say_that_a_message_is_compressed(side, first):
    """RFC 7692 section 6."""
    connection, _ = agree(side)
    data = side.peer(BINARY, HELLO[:3], rsv=first, fin=False) + side.peer(CONTINUATION, HELLO[3:], rsv=RSV1)
    assert_failed(side, connection, connection.receive_data(data), 1002)


def test_what_is_no_deflate_stream_fails_the_connection(side):
    for payload in (b"\xff", b"\x06", b"\x00\x05\x00\x05\x00Hello\x00"):
        connection, _ = agree(side)
        assert_failed(side, connection, connection.receive_data(side.peer(BINARY, payload, rsv=RSV1)), 1007)


def test_a_peer_that_promised_to_forget_must_not_refer_to_its_last_message(side):
    """RFC 7692 section 7.1.1."""
    connection, _ = agree(side, parameters=DeflateParameters(True, True))
    data = side.peer(TEXT, HELLO, rsv=RSV1) + side.peer(TEXT, bytes.fromhex("f200110000"), rsv=RSV1)
    message, close = connection.receive_data(data)
    assert (message, close.code) == ("Hello", 1007)


def test_compressed_text_is_utf_8_as_well(side):
    """RFC 6455 section 8.1, of what comes out of the inflater; at its first bad byte."""
    connection, peer = agree(side)
    data = side.peer(TEXT, peer.compress(b"ok\xff")[:-1], rsv=RSV1, fin=False)
    assert_failed(side, connection, connection.receive_data(data), 1007)
    connection, peer = agree(side)
    assert_failed(side, connection, connection.receive_data(side.peer(TEXT, peer.compress(b"\xc3"), rsv=RSV1)), 1007)


@pytest.mark.parametrize("limit", [1, 100, 5000])
def test_a_message_may_inflate_to_the_limit_and_no_further(side, limit):
    connection, peer = agree(side, max_message_size=limit)
    for _ in range(2):
        assert connection.receive_data(side.peer(BINARY, peer.compress(bytes(limit)), rsv=RSV1)) == [bytes(limit)]
    assert_failed(
        side, connection, connection.receive_data(side.peer(BINARY, peer.compress(bytes(limit + 1)), rsv=RSV1)), 1009
    )


def test_fragments_together_may_inflate_to_the_limit_and_no_further(side):
    connection, peer = agree(side, max_message_size=100)
    for size in (100, 101):
        payload = peer.compress(NOISE[:size])
        fragments = [side.peer(BINARY, payload[:50], rsv=RSV1, fin=False), side.peer(CONTINUATION, payload[50:])]
        events = connection.receive_data(b"".join(fragments))
        if size == 100:
            assert events == [NOISE[:100]]
        else:
            assert_failed(side, connection, events, 1009)


def test_data_that_does_not_compress_may_be_as_large_as_the_limit(side):
    """Compressing makes it larger than it was."""
    connection, peer = agree(side, max_message_size=len(NOISE))
    payload = peer.compress(NOISE)
    assert len(payload) > len(NOISE)
    assert connection.receive_data(side.peer(BINARY, payload, rsv=RSV1)) == [NOISE]


def test_compressed_bytes_far_above_the_limit_are_refused_by_their_header(side):
    connection, _ = agree(side, max_message_size=100)
    assert_failed(side, connection, connection.receive_data(side.peer(BINARY, bytes(300), rsv=RSV1)[:8]), 1009)


def test_compressed_fragments_are_counted(side):
    connection, _ = agree(side, max_fragments=2)
    data = side.peer(TEXT, rsv=RSV1, fin=False) + side.peer(CONTINUATION, fin=False) + side.peer(CONTINUATION, HELLO)
    assert_failed(side, connection, connection.receive_data(data), 1008)


# Pieces


def test_a_compressed_message_comes_in_pieces_as_it_is_received(side):
    connection, peer = agree(side, pieces=True)
    text = "ü世🎈" * 500
    data = side.peer(TEXT, peer.compress(text.encode()), rsv=RSV1)
    pieces = [piece for i in range(len(data)) for piece in connection.receive_data(data[i : i + 1])]
    assert "".join(piece.data for piece in pieces) == text
    assert [piece.first for piece in pieces] == [True] + [False] * (len(pieces) - 1)
    assert [piece.last for piece in pieces] == [False] * (len(pieces) - 1) + [True]
    assert connection.receive_data(side.peer(TEXT, peer.compress(b"next"), rsv=RSV1)) == [Piece("next", True, True)]


def test_a_message_that_inflates_to_much_comes_in_many_pieces(side):
    """No limit binds pieces, so none may be large: a budget stops between them."""
    connection, peer = agree(side, pieces=True, max_message_size=1)
    events = connection.receive_data(side.peer(BINARY, peer.compress(bytes(8 * MIB)), rsv=RSV1), 1)
    total, largest = 0, 0
    while events:
        [piece] = events
        total, largest = total + len(piece.data), max(largest, len(piece.data))
        events = connection.receive_data(b"", 1)
    assert total == 8 * MIB
    assert largest <= MIB // 2


def test_a_bad_stream_in_pieces_fails_the_connection(side):
    connection, _ = agree(side, pieces=True)
    assert_failed(side, connection, connection.receive_data(side.peer(BINARY, b"\xff", rsv=RSV1)), 1007)
