"""Messages that a `Connection` compresses, in both roles (RFC 7692 sections 6 and 7): all four parameters, the policies
that say where compressors live, switches per message, fragments, prepared messages.
"""

import random

import pytest

from wscore.codec import CLIENT, SERVER
from wscore.protocol.events import Close
from wscore.protocol.extensions import DeflateParameters

from ..wire import BINARY, CONTINUATION, PING, TEXT, Frame
from .connection_pair import ConnectionPair
from .deflate_peer import ALL_PARAMETERS, HELLO, NOISE, POLICIES, RSV1, TEXTS, agree

# Sending


@pytest.mark.parametrize("policy", POLICIES)
def test_compressed_messages_are_sent_under_all_parameters(side, policy):
    """RFC 7692 section 7.1.2: the peer's inflater has the window that was agreed, and forgets it if that was."""
    for parameters in ALL_PARAMETERS:
        connection, peer = agree(side, policy, parameters, compression_threshold=0)
        for message in [NOISE, NOISE, b"", NOISE + NOISE, bytes(40000)]:
            connection.send(message)
            [frame] = side.sent(connection)
            assert (frame.opcode, frame.rsv) == (BINARY, RSV1)
            assert peer.inflate(frame.payload) == message, parameters


@pytest.mark.parametrize("policy", POLICIES)
def test_two_connections_understand_each_other_compressed(protocol, policy):
    for parameters in ALL_PARAMETERS:
        pair = ConnectionPair(protocol, compression=policy, deflate=parameters)
        for sender in (pair.server, pair.client, pair.server):
            for message in [*TEXTS, NOISE, NOISE]:
                assert pair.transfer(sender, message) == message, parameters


def test_an_empty_message_is_sent_as_the_rfc_says(side):
    """RFC 7692 section 7.2.3.6."""
    connection, _ = agree(side)
    for _ in range(2):
        connection.send("")
        assert side.sent(connection) == [Frame(TEXT, b"\x00", rsv=RSV1)]


def sizes_of(side, connection, message, times=3):
    """How large the same message is on the wire, time after time."""
    sizes = []
    for _ in range(times):
        connection.send(message)
        [frame] = side.sent(connection)
        sizes.append(len(frame.payload))
    return sizes


@pytest.mark.parametrize(
    ("policy", "parameters", "keeps"),
    [
        ("takeover", DeflateParameters(), True),
        ("dedicated", DeflateParameters(), True),
        ("shared", DeflateParameters(), False),
        ("takeover", DeflateParameters(True, True), False),
        ("dedicated", DeflateParameters(True, True), False),
    ],
)
def test_messages_refer_to_earlier_ones_where_policy_and_agreement_let_them(side, policy, parameters, keeps):
    connection, _ = agree(side, policy, parameters)
    first, *later = sizes_of(side, connection, NOISE)
    assert later == [first] * 2 if not keeps else max(later) < first / 10


@pytest.mark.parametrize(("policy", "reaches_back"), [("takeover", False), ("shared", False), ("dedicated", True)])
def test_a_dedicated_compressor_uses_the_whole_window(side, policy, reaches_back):
    """The others use 4 KiB, which a sender may (RFC 7692 section 7.1.2)."""
    connection, _ = agree(side, policy)
    connection.send(NOISE + bytes(5000) + NOISE)
    [frame] = side.sent(connection)
    assert (len(frame.payload) < 1.5 * len(NOISE)) is reaches_back


def test_without_a_policy_an_agreement_cannot_be_kept(side):
    with pytest.raises(ValueError, match="which compression policy"):
        side.open(deflate=DeflateParameters())


@pytest.mark.parametrize("policy", POLICIES)
def test_without_an_agreement_nothing_is_compressed(side, policy):
    """The peer did not want it."""
    connection = side.open(compression=policy)
    connection.send("x" * 5000)
    connection.send(side.protocol.prepare("x" * 5000), compress=True)
    connection.send_fragment("x" * 5000, fin=True, compress=True)
    assert side.sent(connection) == [Frame(TEXT, b"x" * 5000)] * 3
    assert [event.code for event in connection.receive_data(side.peer(TEXT, HELLO, rsv=RSV1))] == [1002]


# Which messages are compressed


@pytest.mark.parametrize(
    ("policy", "given", "threshold"),
    [("takeover", None, 0), ("dedicated", None, 0), ("shared", None, 1024), ("takeover", 10, 10), ("shared", 0, 0)],
)
def test_messages_below_the_threshold_are_not_compressed(side, policy, given, threshold):
    connection, _ = agree(side, policy, compression_threshold=given)
    for size in sorted({0, max(threshold - 1, 0), threshold, 5000}):
        for message in (b"x" * size, "x" * size, side.protocol.prepare("x" * size)):
            connection.send(message)
            [frame] = side.sent(connection)
            assert frame.rsv == (RSV1 if size >= threshold else 0), size


def test_the_threshold_counts_bytes_of_utf_8(side):
    connection, _ = agree(side, compression_threshold=10)
    connection.send("é" * 5)
    connection.send("e" * 9)
    assert [frame.rsv for frame in side.sent(connection)] == [RSV1, 0]


@pytest.mark.parametrize("compress", [True, False])
def test_each_message_may_be_compressed_or_not_whatever_the_threshold_says(side, compress):
    """RFC 7692 section 8, for secrets beside text of an attacker."""
    connection, peer = agree(side, compression_threshold=100)
    for text in ("x" * 10, "x" * 1000):
        for message in (text, side.protocol.prepare(text)):
            connection.send(message, compress=compress)
            [frame] = side.sent(connection)
            assert frame.rsv == (RSV1 if compress else 0)
            assert (peer.inflate(frame.payload) if compress else frame.payload) == text.encode()


def test_an_uncompressed_message_between_leaves_the_context_alone(side):
    connection, peer = agree(side)
    for compress in (None, False, None):
        connection.send(NOISE, compress=compress)
    first, plain, second = side.sent(connection)
    assert plain == Frame(BINARY, NOISE)
    assert [peer.inflate(frame.payload) for frame in (first, second)] == [NOISE] * 2
    assert len(second.payload) < 300


# Fragments


@pytest.mark.parametrize("policy", POLICIES)
def test_a_compressed_message_is_sent_in_fragments(side, policy):
    """RFC 7692 section 6.1: one stream, RSV1 on the first frame only; no threshold binds what has no size yet."""
    connection, peer = agree(side, policy)
    for _ in range(2):
        for part, fin in [("fish ", False), ("", False), ("and chips", False), ("", True)]:
            connection.send_fragment(part, fin=fin)
            connection.ping()
        frames = [frame for frame in side.sent(connection) if frame.opcode != PING]
        assert [(frame.opcode, frame.rsv, frame.fin) for frame in frames] == [
            (TEXT, RSV1, False),
            (CONTINUATION, 0, False),
            (CONTINUATION, 0, False),
            (CONTINUATION, 0, True),
        ]
        assert peer.inflate(b"".join(frame.payload for frame in frames)) == b"fish and chips"


def test_fragments_may_be_left_uncompressed(side):
    """The first one decides."""
    connection, _ = agree(side)
    connection.send_fragment("a", fin=False, compress=False)
    connection.send_fragment("b", fin=True, compress=True)
    assert side.sent(connection) == [Frame(TEXT, b"a", fin=False), Frame(CONTINUATION, b"b")]


@pytest.mark.parametrize("policy", POLICIES)
def test_compressed_fragments_are_understood_in_both_directions(protocol, policy):
    pair = ConnectionPair(protocol, compression=policy, deflate=DeflateParameters())
    for end in (pair.server, pair.client) * 2:
        for i in range(10):
            end.send_fragment(NOISE[i * 300 : i * 300 + 300], fin=i == 9)
    pair.exchange()
    assert pair.events == {SERVER: [NOISE] * 2, CLIENT: [NOISE] * 2}


# The pool


def test_connections_share_a_pool_and_lose_their_compressors_to_each_other_unnoticed(side):
    """A sender may drop its compressor between messages; only the least recently used pay with size."""
    pool = side.protocol.codec.DeflatePool(2)
    ends = [agree(side, compression_pool=pool) for _ in range(5)]
    chance = random.Random(1)
    for _ in range(100):
        connection, peer = chance.choice(ends)
        connection.send(NOISE)
        [frame] = side.sent(connection)
        assert peer.inflate(frame.payload) == NOISE
        assert len(pool) <= 2


def test_the_pool_keeps_the_context_of_the_most_recently_used(side):
    pool = side.protocol.codec.DeflatePool(2)
    first, second, third = [agree(side, compression_pool=pool)[0] for _ in range(3)]
    fresh = sizes_of(side, first, NOISE, 1)[0]
    assert sizes_of(side, second, NOISE, 1) == [fresh]
    assert sizes_of(side, first, NOISE, 1)[0] < fresh / 10
    assert sizes_of(side, third, NOISE, 1) == [fresh]
    assert sizes_of(side, first, NOISE, 1)[0] < fresh / 10
    assert sizes_of(side, second, NOISE, 1) == [fresh]


def test_without_a_pool_a_connection_keeps_a_compressor_of_its_own(side):
    first, second = agree(side)[0], agree(side)[0]
    for connection in (first, second):
        assert sizes_of(side, connection, NOISE, 1)[0] > 2500
    for connection in (first, second):
        assert sizes_of(side, connection, NOISE, 1)[0] < 300


def test_a_compressor_may_be_lost_in_the_middle_of_a_message(side):
    pool = side.protocol.codec.DeflatePool(1)
    (one, peer), (other, _) = agree(side, compression_pool=pool), agree(side, compression_pool=pool)
    one.send_fragment(NOISE, fin=False)
    other.send(NOISE)
    one.send_fragment(NOISE, fin=True)
    assert peer.inflate(b"".join(frame.payload for frame in side.sent(one))) == NOISE + NOISE
    one.send_fragment(NOISE, fin=False)
    other.send(NOISE)
    one.send_fragment(b"", fin=True)
    assert peer.inflate(b"".join(frame.payload for frame in side.sent(one))) == NOISE


@pytest.mark.parametrize("policy", ["shared", "dedicated"])
def test_other_policies_leave_nothing_in_the_pool(side, policy):
    pool = side.protocol.codec.DeflatePool(4)
    connection, _ = agree(side, policy, compression_pool=pool)
    connection.send(NOISE)
    assert len(pool) == 0


# Prepared messages


@pytest.mark.parametrize("policy", POLICIES)
def test_own_and_prepared_messages_take_turns(side, policy):
    """The peer's window holds the prepared message and our compressor's would not: so it is dropped."""
    # Another message, of another size: what a compressor refers to would be found elsewhere, or not at all.
    payload = random.Random(12).randbytes(500)
    prepared = side.protocol.prepare(payload)
    for parameters in ALL_PARAMETERS:
        connection, peer = agree(side, policy, parameters, compression_threshold=0)
        for message in (NOISE, prepared, NOISE, prepared, prepared, bytes(5000), NOISE):
            connection.send(message)
            [frame] = side.sent(connection)
            assert frame.rsv == RSV1
            assert peer.inflate(frame.payload) == (payload if message is prepared else message), parameters


def test_an_uncompressed_prepared_message_leaves_the_context_alone(side):
    connection, _ = agree(side)
    fresh = sizes_of(side, connection, NOISE, 1)[0]
    connection.send(side.protocol.prepare("between"), compress=False)
    assert side.sent(connection) == [Frame(TEXT, b"between")]
    assert sizes_of(side, connection, NOISE, 1)[0] < fresh / 10


def test_a_prepared_message_is_compressed_once_for_all_connections(side):
    prepared = side.protocol.prepare(NOISE)
    payloads = []
    for _ in range(3):
        connection, _ = agree(side)
        connection.send(prepared)
        payloads += [frame.payload for frame in side.sent(connection)]
    assert payloads == [prepared.compressed(12)] * 3


@pytest.mark.parametrize("flag", [0, 1, "", [0]])
def test_compress_is_true_or_false_as_python_sees_it(side, flag):
    connection, _ = agree(side, compression_threshold=100)
    prepared = side.protocol.prepare("x" * 50)
    connection.send("x" * 500, flag)
    connection.send(b"x" * 50, compress=flag)
    connection.send_fragment("x" * 500, fin=True, compress=flag)
    connection.send(prepared, flag)
    assert side.protocol.broadcast(prepared, [connection], flag) == 1
    assert [frame.rsv for frame in side.sent(connection)] == [RSV1 if flag else 0] * 5


# And the end


def test_close_frames_are_never_compressed(protocol):
    """RFC 7692 section 6."""
    pair = ConnectionPair(protocol, compression="takeover", deflate=DeflateParameters())
    pair.client.send("bye " * 100)
    pair.client.close(1000, "bye " * 10)
    pair.exchange()
    assert pair.events[SERVER] == ["bye " * 100, Close(1000, "bye " * 10, "peer")]
    assert pair.events[CLIENT] == [Close(1000, "", "local")]


@pytest.mark.parametrize("bits", [8, 16])
def test_windows_that_no_compressor_of_ours_can_keep_to_are_refused(side, bits):
    """The handshake agrees on none of them (RFC 7692 section 7.1.2)."""
    parameters = DeflateParameters(server_max_window_bits=bits, client_max_window_bits=bits)
    if bits == 8:
        with pytest.raises(ValueError, match="window_bits"):
            side.open(compression="dedicated", deflate=parameters)
    else:
        with pytest.raises(ValueError, match="window_bits"):
            side.open(compression="shared", deflate=parameters)
