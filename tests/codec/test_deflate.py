"""Compressing and inflating (RFC 7692 section 7.2), on both twins. Python's own zlib is the peer."""

import array
import random
import re
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wscore.codec import DefectError
from wscore.codec.errors import DEFLATE_INVALID, TOO_MANY_FINAL_BLOCKS
from wscore.codec.pure.deflate import MAX_FINAL_BLOCKS

TAIL = b"\x00\x00\xff\xff"
PLENTY = 1 << 24
NOISE = random.Random(3).randbytes(200_000)
JSON = b'{"id": 17, "price": 4.25, "name": "widget", "tags": ["a", "b", "c"], "stock": true, "note": null}'


def by_the_book(*messages: bytes, window_bits: int = 15) -> list[bytes]:
    """What a peer makes of compressed messages that share a window (section 7.2.2)."""
    inflater = zlib.decompressobj(-window_bits)
    return [inflater.decompress(message + TAIL) for message in messages]


def whole(inflater, message: bytes, max_length: int = PLENTY) -> bytes:
    return inflater.inflate(message, max_length) + inflater.finish(max_length)


def final_block(data: bytes, window: bytes = b"") -> bytes:
    """A stream that ends (BFINAL set), and may refer to `window`."""
    compressor = zlib.compressobj(wbits=-15, zdict=window)
    return compressor.compress(data) + compressor.flush(zlib.Z_FINISH)


def test_the_library_that_compresses_is_named_with_its_version(codec):
    assert re.fullmatch(r"zlib(-ng)? \d+(\.\d+)+\S*", codec.LIBRARY)


# Inflating: the examples of RFC 7692 section 7.2.3


@pytest.mark.parametrize(
    ("payload", "message"),
    [
        ("f248cdc9c90700", b"Hello"),  # 7.2.3.1: one block
        ("000500faff48656c6c6f00", b"Hello"),  # 7.2.3.3: a block without compression
        ("f348cdc9c9070000", b"Hello"),  # 7.2.3.4: BFINAL set
        ("f24805000000ffffcac9c90700", b"Hello"),  # 7.2.3.5: two blocks
        ("00", b""),  # 7.2.3.6: an empty message
    ],
)
@pytest.mark.parametrize("context_takeover", [True, False])
def test_the_messages_of_the_rfc_are_inflated(codec, payload, message, context_takeover):
    """RFC 7692 section 7.2.3, and whatever came before."""
    inflater = codec.Inflater(context_takeover=context_takeover)
    for _ in range(3):
        assert whole(inflater, bytes.fromhex(payload)) == message


def test_the_second_hello_of_the_rfc_refers_to_the_first(codec):
    """RFC 7692 section 7.2.3.2."""
    inflater = codec.Inflater()
    assert whole(inflater, bytes.fromhex("f248cdc9c90700")) == b"Hello"
    assert whole(inflater, bytes.fromhex("f200110000")) == b"Hello"
    assert whole(inflater, bytes.fromhex("f200110000")) == b"Hello"


def test_without_takeover_nothing_earlier_can_be_referred_to(codec):
    """RFC 7692 section 7.1.1."""
    inflater = codec.Inflater(context_takeover=False)
    assert whole(inflater, bytes.fromhex("f248cdc9c90700")) == b"Hello"
    with pytest.raises(DefectError):
        whole(inflater, bytes.fromhex("f200110000"))


def test_a_message_may_come_byte_by_byte(codec):
    payload = codec.Deflater().deflate(JSON * 5)
    inflater = codec.Inflater()
    parts = [inflater.inflate(payload[i : i + 1], PLENTY) for i in range(len(payload))]
    assert b"".join(parts) + inflater.finish(PLENTY) == JSON * 5


# Inflating: BFINAL (section 7.2.3.4)


@pytest.mark.parametrize("context_takeover", [True, False])
def test_a_message_may_end_its_stream_64_times_and_no_more(codec, context_takeover):
    inflater = codec.Inflater(context_takeover=context_takeover)
    most = final_block(b"ab") * MAX_FINAL_BLOCKS + b"\x00"
    for _ in range(2):  # the count starts anew with each message
        assert whole(inflater, most) == b"ab" * MAX_FINAL_BLOCKS
    with pytest.raises(DefectError) as caught:
        whole(inflater, final_block(b"") + most)
    assert caught.value.defect == TOO_MANY_FINAL_BLOCKS


def test_final_blocks_are_counted_over_all_parts_of_a_message(codec):
    inflater = codec.Inflater()
    for _ in range(MAX_FINAL_BLOCKS):
        assert inflater.inflate(final_block(b"x"), PLENTY) == b"x"
    with pytest.raises(DefectError) as caught:
        inflater.inflate(final_block(b"x"), PLENTY)
    assert caught.value.defect == TOO_MANY_FINAL_BLOCKS


@pytest.mark.parametrize("size", [1, 1000, 40_000, 70_000, 200_000])
@pytest.mark.parametrize("part", [1 << 20, 3000, 100])
def test_the_window_survives_a_final_block(codec, size, part):
    """What comes after may refer to what came before, as far back as the window goes."""
    before, after = NOISE[:size], NOISE[max(0, size - 32_000) : size] + b"!"
    compressor = zlib.compressobj(0, wbits=-15)
    payload = compressor.compress(before) + compressor.flush(zlib.Z_FINISH)
    payload += final_block(after, window=before[-32768:]) + b"\x00"
    inflater = codec.Inflater()
    output = b"".join(inflater.inflate(payload[i : i + part], PLENTY) for i in range(0, len(payload), part))
    assert output + inflater.finish(PLENTY) == before + after
    assert len(final_block(after, window=before[-32768:])) < 1000 or size == 1


def test_a_later_message_may_refer_to_one_before_a_final_block(codec):
    inflater = codec.Inflater()
    assert whole(inflater, final_block(b"Hello") + b"\x00") == b"Hello"
    assert whole(inflater, bytes.fromhex("f200110000")) == b"Hello"


@pytest.mark.parametrize("bits", range(8, 16))
def test_after_a_final_block_a_small_window_is_still_small_and_whole(codec, bits):
    window = NOISE[: 1 << bits]
    inflater = codec.Inflater(bits)
    assert whole(inflater, codec.Deflater(max(bits, 9)).deflate(window)) == window
    compressor = zlib.compressobj(wbits=-max(bits, 9), zdict=window)
    again = window[300:] if bits > 9 else window[-200:]
    payload = compressor.compress(again) + compressor.flush(zlib.Z_SYNC_FLUSH)
    assert whole(inflater, final_block(b"") + payload[:-4]) == again


def test_output_before_and_after_a_final_block_shares_one_limit(codec):
    payload = final_block(b"a" * 10) + final_block(b"b" * 10) + b"\x00"
    for most in range(1, 21):
        assert codec.Inflater().inflate(payload, most) == (b"a" * 10 + b"b" * 10)[:most]


# Inflating: bounds and damage


@pytest.mark.parametrize("max_length", [1, 2, 4095, 4096, 65536, 1 << 20])
def test_no_more_comes_out_than_is_allowed(codec, max_length):
    """However small the input; a second and a third call are no way around."""
    bomb = codec.Deflater(level=9).deflate(bytes(1 << 22))
    assert len(bomb) < 5000
    inflater = codec.Inflater()
    assert inflater.inflate(bomb, max_length) == bytes(max_length)
    assert len(codec.Inflater().inflate(bomb[:2000], max_length)) == max_length


@pytest.mark.parametrize("max_length", [0, -1])
def test_no_room_at_all_is_misuse_and_never_means_unlimited(codec, max_length):
    """To zlib a `max_length` of 0 is "as much as there is"."""
    inflater = codec.Inflater()
    with pytest.raises(ValueError, match="max_length"):
        inflater.inflate(bytes.fromhex("f248cdc9c90700"), max_length)
    with pytest.raises(ValueError, match="max_length"):
        inflater.finish(max_length)


@pytest.mark.parametrize("payload", [b"\xff", b"\x06", bytes.fromhex("000500faee48656c6c6f00"), b"\x04\x00\xfe\xff"])
def test_what_is_no_deflate_stream_is_a_defect(codec, payload):
    """RFC 7692 section 7.2.2; a block of type 3, a stored length that contradicts itself, bad code tables."""
    with pytest.raises(DefectError) as caught:
        whole(codec.Inflater(), payload + bytes(300))
    assert caught.value.defect == DEFLATE_INVALID


def test_damage_after_a_final_block_is_a_defect_too(codec):
    with pytest.raises(DefectError) as caught:
        whole(codec.Inflater(), final_block(b"x") + b"\xff")
    assert caught.value.defect == DEFLATE_INVALID


@pytest.mark.parametrize("level", [0, 1, 9])
@pytest.mark.parametrize("context_takeover", [True, False])
def test_a_message_that_was_cut_off_is_a_defect_wherever_that_was(codec, level, context_takeover):
    """RFC 7692 section 7.2.2: with the tail that was left out, a message ends where a block may begin."""
    payload = codec.Deflater(level=level).deflate(JSON * 3)
    cuts = {payload[:size] for size in range(len(payload))}
    if level == 0:
        # An empty message (section 7.2.3.6), and a block that lacks just as many bytes as the tail has.
        cuts -= {b"\x00", payload[:-5]}
    for cut in cuts:
        inflater = codec.Inflater(context_takeover=context_takeover)
        with pytest.raises(DefectError) as caught:
            whole(inflater, cut)
        assert caught.value.defect == DEFLATE_INVALID
    assert whole(codec.Inflater(context_takeover=context_takeover), payload) == JSON * 3


@pytest.mark.parametrize("context_takeover", [True, False])
@pytest.mark.parametrize("bfinal", [0, 1])
def test_a_message_cut_off_in_an_uncompressed_block_is_a_defect_whatever_is_missing(codec, bfinal, context_takeover):
    """The tail that the sender left out is no payload, nor is anything by which it could be found out."""
    for size in [*range(1, 100), 1000]:
        for come in range(min(size, 3)):
            block = bytes([bfinal]) + size.to_bytes(2, "little") + (size ^ 0xFFFF).to_bytes(2, "little")
            inflater = codec.Inflater(context_takeover=context_takeover)
            if size - come == len(TAIL):  # of all that may be missing only this cannot be told from what was sent
                assert whole(inflater, block + bytes(come)) == bytes(come) + TAIL
                continue
            with pytest.raises(DefectError) as caught:
                whole(inflater, block + bytes(come))
            assert caught.value.defect == DEFLATE_INVALID


def test_a_later_message_that_was_cut_off_is_a_defect_and_one_before_the_limit_is_not(codec):
    first, second = codec.Deflater(), codec.Inflater()
    assert whole(second, first.deflate(JSON)) == JSON
    payload = first.deflate(NOISE[:100])
    # At the limit the output may have been cut short by us: it says nothing about the message.
    assert second.inflate(payload, 50) + second.finish(1)[:0] == NOISE[:50]
    inflater = codec.Inflater()
    assert whole(inflater, codec.Deflater().deflate(JSON)) == JSON
    with pytest.raises(DefectError):
        whole(inflater, payload[:-1])


def test_the_tail_may_be_the_end_of_a_final_block(codec):
    """A sender may set BFINAL in the very block of which it then leaves the tail out."""
    inflater = codec.Inflater(context_takeover=False)
    for _ in range(2):
        assert whole(inflater, b"\x01") == b""


@pytest.mark.parametrize("context_takeover", [True, False])
def test_a_message_may_end_with_a_final_block_and_nothing_behind_it(codec, context_takeover):
    """RFC 7692 section 7.2.3.4 wants one byte more; not every sender appends it, and what follows is read all the
    same.
    """
    inflater = codec.Inflater(context_takeover=context_takeover)
    for _ in range(3):
        assert whole(inflater, final_block(JSON)) == JSON
        assert inflater.inflate(final_block(b"a"), PLENTY) + inflater.inflate(b"", PLENTY) == b"a"
        assert inflater.finish(PLENTY) == b""
    with pytest.raises(DefectError):
        whole(inflater, final_block(JSON) + final_block(JSON)[:-3])


# Compressing


@pytest.mark.parametrize("level", [0, 1, 6, 9])
@pytest.mark.parametrize("mem_level", [1, 5, 8, 9])
@pytest.mark.parametrize("bits", range(9, 16))
def test_every_peer_can_inflate_every_setting(codec, bits, level, mem_level):
    messages = [JSON * 3, b"", NOISE[:3000], JSON * 3, NOISE[:3000]]
    deflater = codec.Deflater(bits, level=level, mem_level=mem_level)
    assert deflater.window_bits == bits
    payloads = [deflater.deflate(message) for message in messages]
    assert by_the_book(*payloads, window_bits=bits) == messages
    inflater = codec.Inflater(bits)
    assert [whole(inflater, payload) for payload in payloads] == messages


def test_a_message_loses_its_tail(codec):
    """RFC 7692 section 7.2.1."""
    assert not codec.Deflater().deflate(JSON).endswith(TAIL)
    assert by_the_book(codec.Deflater().deflate(JSON)) == [JSON]


@pytest.mark.parametrize("context_takeover", [True, False])
def test_empty_messages_are_one_byte_each(codec, context_takeover):
    """RFC 7692 section 7.2.3.6; zlib writes nothing where it has just flushed."""
    deflater = codec.Deflater(context_takeover=context_takeover)
    for _ in range(3):
        assert by_the_book(deflater.deflate(b"")) == [b""]
    deflater.deflate(b"something")
    assert deflater.deflate(b"") == b"\x00"


def test_with_takeover_a_repeated_message_is_a_few_bytes(codec):
    deflater = codec.Deflater()
    first, second = deflater.deflate(JSON), deflater.deflate(JSON)
    assert len(second) < 10 < len(first)
    assert by_the_book(first, second) == [JSON, JSON]


def test_without_takeover_each_message_stands_alone(codec):
    """RFC 7692 section 7.1.1."""
    deflater = codec.Deflater(context_takeover=False)
    first, second = deflater.deflate(JSON), deflater.deflate(JSON)
    assert first == second
    assert by_the_book(second) == [JSON]


@pytest.mark.parametrize("context_takeover", [True, False])
@pytest.mark.parametrize("parts", [[b"one", b"two", b"three"], [b"", b"one", b""], [b"one", b"", b""], [b"", b""]])
def test_a_message_in_parts_is_one_message(codec, context_takeover, parts):
    """RFC 7692 section 7.2.3.1: the parts of the compressed message become the frames."""
    deflater = codec.Deflater(context_takeover=context_takeover)
    for _ in range(2):
        payloads = [deflater.deflate(part, False) for part in parts[:-1]] + [deflater.deflate(parts[-1])]
        assert whole(codec.Inflater(), b"".join(payloads)) == b"".join(parts)
        deflater.drop()
    for part, payload in zip(parts[:-1], payloads[:-1], strict=True):
        assert not part or payload.endswith(TAIL)


def test_a_part_can_be_read_at_once(codec):
    """A part that waited inside the compressor for the next one would be late for ever."""
    deflater, inflater = codec.Deflater(), codec.Inflater()
    for part in (b"one", b"two"):
        assert inflater.inflate(deflater.deflate(part, final=False), PLENTY) == part


@pytest.mark.parametrize("pooled", [True, False])
def test_after_a_drop_the_next_message_refers_to_nothing_earlier_and_all_can_follow(codec, pooled):
    deflater = codec.Deflater(pool=codec.DeflatePool(4) if pooled else None)
    first = deflater.deflate(JSON)
    assert deflater.drop() is None
    deflater.drop()
    second, third = deflater.deflate(JSON), deflater.deflate(JSON)
    assert by_the_book(second) == [JSON]
    assert len(third) < 10
    assert by_the_book(first, second, third) == [JSON] * 3


def test_what_is_no_buffer_does_not_spoil_the_stream(codec):
    deflater = codec.Deflater()
    first = deflater.deflate(JSON)
    with pytest.raises(TypeError):
        deflater.deflate("text")
    assert by_the_book(first, deflater.deflate(b"next")) == [JSON, b"next"]


# Pools


def test_a_pool_keeps_the_contexts_of_those_who_were_busy_last(codec):
    pool = codec.DeflatePool(2)
    deflaters = [codec.Deflater(pool=pool) for _ in range(3)]
    sent: list[list[bytes]] = [[] for _ in deflaters]
    for turn in (0, 1, 0, 2, 0, 1):
        sent[turn].append(deflaters[turn].deflate(JSON))
    assert len(pool) == 2
    # The second one was idle for longest when the third came.
    assert [[len(message) < 10 for message in messages] for messages in sent] == [
        [False, True, True],
        [False, False],
        [False],
    ]
    for messages in sent:
        assert by_the_book(*messages) == [JSON] * len(messages)


def test_an_idle_deflater_owns_nothing_and_neither_does_one_without_takeover(codec):
    pool = codec.DeflatePool()
    deflater, single = codec.Deflater(pool=pool), codec.Deflater(pool=pool, context_takeover=False)
    assert len(pool) == 0
    deflater.deflate(b"x")
    single.deflate(b"x")
    assert len(pool) == 1
    deflater.drop()
    assert len(pool) == 0


def test_a_pool_holds_256_unless_told_otherwise(codec):
    pool = codec.DeflatePool()
    deflaters = [codec.Deflater(9, mem_level=1, pool=pool) for _ in range(257)]
    for deflater in deflaters:
        deflater.deflate(JSON)
    assert len(pool) == 256
    assert len(deflaters[-1].deflate(JSON)) < 10 < len(deflaters[0].deflate(JSON))


@pytest.mark.parametrize("takeover", [True, False])
def test_messages_in_parts_survive_the_loss_of_their_compressor(codec, takeover):
    """Two senders with room for one: each part may find its compressor gone, and no peer notices."""
    pool = codec.DeflatePool(1)
    deflaters = [codec.Deflater(pool=pool, context_takeover=takeover) for _ in range(2)]
    sent = [b"", b""]
    for part, final in ((b"first ", False), (b"second ", False), (b"third", True)):
        for i, deflater in enumerate(deflaters):
            sent[i] += deflater.deflate(part, final)
    assert [whole(codec.Inflater(pool=pool), message) for message in sent] == [b"first second third"] * 2


@pytest.mark.parametrize("takeover", [True, False])
def test_inflaters_of_one_pool_do_not_disturb_each_other(codec, takeover):
    pool = codec.DeflatePool(1)
    inflaters = [codec.Inflater(pool=pool, context_takeover=takeover) for _ in range(3)]
    deflaters = [codec.Deflater(context_takeover=takeover) for _ in inflaters]
    for turn in range(3):
        messages = [b"%d %d " % (turn, i) + JSON for i in range(3)]
        payloads = [deflater.deflate(message) for deflater, message in zip(deflaters, messages, strict=True)]
        outputs = [inflaters[i].inflate(payload[:20], PLENTY) for i, payload in enumerate(payloads)]
        for i, inflater in enumerate(inflaters):
            outputs[i] += inflater.inflate(payloads[i][20:], PLENTY)
        assert [output + inflaters[i].finish(PLENTY) for i, output in enumerate(outputs)] == messages


def test_an_inflater_that_met_a_defect_does_not_spoil_the_pool(codec):
    pool = codec.DeflatePool(1)
    with pytest.raises(DefectError):
        whole(codec.Inflater(pool=pool, context_takeover=False), b"\x06" + bytes(9))
    assert whole(codec.Inflater(pool=pool, context_takeover=False), bytes.fromhex("f248cdc9c90700")) == b"Hello"


# Arguments


def test_settings_out_of_range_are_refused(codec):
    for bits in (-15, 0, 8, 16, 31):
        with pytest.raises(ValueError, match="window_bits"):
            codec.Deflater(bits)
    for bits in (-15, 0, 7, 16, 31):
        with pytest.raises(ValueError, match="window_bits"):
            codec.Inflater(bits)
    for level in (-1, 10):
        with pytest.raises(ValueError, match="level"):
            codec.Deflater(level=level)
    for mem_level in (0, 10):
        with pytest.raises(ValueError, match="mem_level"):
            codec.Deflater(mem_level=mem_level)
    for size in (0, -1):
        with pytest.raises(ValueError, match="at least one"):
            codec.DeflatePool(size)


@pytest.mark.parametrize("wrong", ["text", 5, None, [1]])
def test_what_is_no_buffer_is_refused(codec, wrong):
    with pytest.raises(TypeError):
        codec.Deflater().deflate(wrong)
    with pytest.raises(TypeError):
        codec.Inflater().inflate(wrong, PLENTY)


@pytest.mark.parametrize("convert", [bytearray, memoryview, lambda data: array.array("H", data)])
def test_any_contiguous_buffer_is_taken_and_let_go(codec, convert):
    payload = codec.Deflater().deflate(convert(b"even"))
    if len(payload) % 2:
        payload += b"\x00"  # one more empty block
    data = convert(payload)
    inflater = codec.Inflater()
    assert inflater.inflate(data, PLENTY) == b"even"
    assert bytes(data) == payload
    with pytest.raises(TypeError):
        codec.Deflater().deflate(memoryview(b"even")[::2])
    with pytest.raises(TypeError):
        inflater.inflate(memoryview(b"even")[::2], PLENTY)


@given(st.data())
def test_any_messages_come_out_as_they_went_in_however_they_are_cut(codec, data):
    bits = data.draw(st.integers(9, 15))
    takeover = data.draw(st.booleans())
    deflater = codec.Deflater(bits, context_takeover=takeover)
    inflater = codec.Inflater(bits, context_takeover=takeover)
    for message in data.draw(st.lists(st.binary(max_size=300) | st.sampled_from([JSON, NOISE[:5000]]), max_size=5)):
        payload = deflater.deflate(message)
        cut = data.draw(st.integers(0, len(payload)))
        output = inflater.inflate(payload[:cut], PLENTY) + inflater.inflate(payload[cut:], PLENTY)
        assert output + inflater.finish(PLENTY) == message
