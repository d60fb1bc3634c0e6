"""Masking (RFC 6455 section 5.3) and the keys for it (section 10.3), on both twins."""

import array
import ctypes
import importlib.util
import os
import random
import subprocess
import sys
import threading

import pytest

from wscore.codec.pure import masking as pure_masking

KEY = bytes.fromhex("37fa213d")
DATA = random.Random(1).randbytes(320)


def by_the_book(data: bytes, key: bytes, offset: int = 0) -> bytes:
    """Section 5.3, word for word: octet i is XORed with octet i modulo 4 of the key."""
    return bytes(octet ^ key[(offset + i) % 4] for i, octet in enumerate(data))


# Masking


def test_the_masked_hello_of_the_rfc(codec):
    """RFC 6455 section 5.7."""
    assert codec.mask(b"Hello", KEY) == bytes.fromhex("7f9f4d5158")


@pytest.mark.parametrize("offset", range(5))
def test_every_length_is_masked_octet_by_octet(codec, offset):
    """RFC 6455 section 5.3."""
    for size in range(258):
        assert codec.mask(DATA[:size], KEY, offset) == by_the_book(DATA[:size], KEY, offset), size


@pytest.mark.parametrize("start", range(17))
def test_data_at_any_address_is_masked_in_place_and_nothing_beside_it(codec, start):
    for size in range(258):
        buffer = bytearray(DATA)
        codec.mask_inplace(memoryview(buffer)[start : start + size], KEY, start)
        expected = DATA[:start] + by_the_book(DATA[start : start + size], KEY, start) + DATA[start + size :]
        assert buffer == expected, size


@pytest.mark.parametrize("size", [(3 << 12) - 1, 3 << 12, (3 << 12) + 1, 65534, 65535, 65536, (1 << 20) + 3])
def test_large_data_is_masked(codec, size):
    data = random.Random(2).randbytes(size)
    masked = codec.mask(data, KEY, 3)
    assert masked == by_the_book(data, KEY, 3)
    assert codec.mask(masked, KEY, 3) == data


def test_parts_masked_one_after_the_other_are_the_whole(codec):
    parts = [codec.mask(DATA[i : i + 7], KEY, i) for i in range(0, len(DATA), 7)]
    assert b"".join(parts) == codec.mask(DATA, KEY)


@pytest.mark.parametrize("offset", [-9, -4, -1, 1 << 31, (1 << 63) - 1, (1 << 63) - 4])
def test_an_offset_counts_modulo_four(codec, offset):
    assert codec.mask(DATA, KEY, offset) == codec.mask(DATA, KEY, offset % 4)


def test_masking_returns_bytes_and_leaves_its_input_alone(codec):
    data = bytearray(DATA)
    masked = codec.mask(data, KEY)
    assert type(masked) is bytes
    assert data == DATA
    data.clear()  # no view on it is left open
    assert masked == by_the_book(DATA, KEY)


def test_masking_in_place_returns_nothing_and_lets_go_of_the_buffer(codec):
    data = bytearray(DATA)
    assert codec.mask_inplace(data, KEY) is None
    assert data == by_the_book(DATA, KEY)
    data.clear()


@pytest.mark.parametrize(
    "data",
    [
        b"01234567",
        bytearray(b"01234567"),
        memoryview(b"x01234567x")[1:-1],
        array.array("H", b"01234567"),
        (ctypes.c_uint32 * 2).from_buffer_copy(b"01234567"),
        memoryview(b"01234567").cast("b"),
        memoryview(b"01234567").cast("B", (2, 4)),
    ],
    ids=lambda data: type(data).__name__,
)
def test_any_contiguous_buffer_is_data(codec, data):
    assert codec.mask(data, KEY) == by_the_book(b"01234567", KEY)


@pytest.mark.parametrize("key", [bytearray(KEY), memoryview(b"x" + KEY)[1:], array.array("B", KEY)])
def test_any_buffer_of_four_bytes_is_a_key(codec, key):
    assert codec.mask(DATA, key) == by_the_book(DATA, KEY)
    data = bytearray(DATA)
    codec.mask_inplace(data, key)
    assert data == by_the_book(DATA, KEY)


def test_a_buffer_can_be_its_own_key(codec):
    buffer = bytearray(KEY)
    codec.mask_inplace(buffer, buffer)
    assert buffer == bytes(4)


@pytest.mark.parametrize("buffer", [array.array("I", [1, 2, 3]), (ctypes.c_uint16 * 6)(), memoryview(bytearray(12))])
def test_any_writable_buffer_is_masked_in_place(codec, buffer):
    before = bytes(buffer)
    codec.mask_inplace(buffer, KEY)
    assert bytes(buffer) == by_the_book(before, KEY)


# Misuse


@pytest.mark.parametrize("size", [0, 1, 3, 5, 8])
@pytest.mark.parametrize("data", [b"", b"data"])
def test_a_key_of_another_length_is_refused(codec, data, size):
    with pytest.raises(ValueError, match="4 bytes"):
        codec.mask(data, bytes(size))
    buffer = bytearray(data)
    with pytest.raises(ValueError, match="4 bytes"):
        codec.mask_inplace(buffer, bytes(size))
    assert buffer == data


@pytest.mark.parametrize("wrong", ["text", 5, None, 1.5, [1, 2, 3, 4], object()])
def test_what_is_no_buffer_is_refused(codec, wrong):
    with pytest.raises(TypeError):
        codec.mask(wrong, KEY)
    with pytest.raises(TypeError):
        codec.mask(b"data", wrong)
    with pytest.raises(TypeError):
        codec.mask_inplace(wrong, KEY)
    with pytest.raises(TypeError):
        codec.mask_inplace(bytearray(4), wrong)


@pytest.mark.parametrize("offset", ["1", None, 1.0, b"1"])
def test_an_offset_that_is_no_integer_is_refused(codec, offset):
    with pytest.raises(TypeError):
        codec.mask(b"data", KEY, offset)
    with pytest.raises(TypeError):
        codec.mask_inplace(bytearray(4), KEY, offset)


@pytest.mark.parametrize("buffer", [b"data", memoryview(b"data"), memoryview(bytearray(4)).toreadonly(), b""])
def test_read_only_memory_is_not_masked_in_place(codec, buffer):
    with pytest.raises(TypeError):
        codec.mask_inplace(buffer, KEY)


@pytest.mark.parametrize("step", [2, -1])
def test_memory_with_gaps_is_refused(codec, step):
    view = memoryview(bytearray(DATA))[::step]
    with pytest.raises(TypeError):
        codec.mask(view, KEY)
    with pytest.raises(TypeError):
        codec.mask_inplace(view, KEY)
    with pytest.raises(TypeError):
        codec.mask(DATA, memoryview(bytes(8))[::2])


# Keys


def test_a_key_is_four_bytes(codec):
    key = codec.new_mask_key()
    assert type(key) is bytes
    assert len(key) == 4


def test_keys_look_random_and_never_repeat_in_order(codec):
    """RFC 6455 section 10.3."""
    keys = [codec.new_mask_key() for _ in range(4096)]
    for bit in range(32):
        share = sum(int.from_bytes(key) >> bit & 1 for key in keys)
        assert 1638 < share < 2458, bit  # 2048, give or take 12 standard deviations
    runs = {b"".join(keys[i : i + 4]) for i in range(0, len(keys), 4)}
    assert len(runs) == len(keys) // 4


def test_keys_do_not_follow_from_a_seed(codec):
    """RFC 6455 section 10.3: not from a generator that a peer, or the application, could predict."""
    random.seed(1)
    first = take(codec)
    random.seed(1)
    assert take(codec) != first


def test_threads_get_keys_of_their_own(codec):
    taken: list[bytes] = [take(codec)]
    for _ in range(4):
        thread = threading.Thread(target=lambda: taken.append(take(codec)))
        thread.start()
        thread.join()
    assert len(set(taken)) == 5


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_a_forked_child_does_not_use_the_keys_of_its_parent(codec):
    """Else XOR of two masked payloads would be known to whoever sees both."""
    program = f"""
import os
from {codec.twin}.masking import new_mask_key
new_mask_key()  # from now on there is a pool
reader, writer = os.pipe()
child = os.fork()
keys = b"".join(new_mask_key() for _ in range(16))
if child == 0:
    os.write(writer, keys)
    os._exit(0)
os.waitpid(child, 0)
assert os.read(reader, 64) != keys, "the same keys"
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


def take(codec) -> bytes:
    return b"".join(codec.new_mask_key() for _ in range(8))


# What only the pure twin shows: the system's generator and the fork hook


def load_again():
    """The module once more, as it looks at the system when it is loaded."""
    spec = importlib.util.spec_from_file_location("wscore.codec.pure.masking_again", pure_masking.__file__)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_fork_hook_empties_the_pool_and_the_next_key_comes_from_the_system(monkeypatch):
    blocks = [bytes([1]) * pure_masking.KEY_BLOCK, bytes([2]) * pure_masking.KEY_BLOCK]
    hooks = []
    monkeypatch.setattr(os, "register_at_fork", lambda *, after_in_child: hooks.append(after_in_child), raising=False)
    monkeypatch.setattr(os, "urandom", lambda size: blocks.pop(0))
    masking = load_again()
    assert [masking.new_mask_key(), masking.new_mask_key()] == [b"\x01" * 4] * 2
    [after_in_child] = hooks
    after_in_child()
    assert masking.new_mask_key() == b"\x02" * 4


def test_the_module_loads_where_nothing_forks(monkeypatch):
    monkeypatch.delattr(os, "register_at_fork", raising=False)
    assert len(load_again().new_mask_key()) == 4


def test_a_block_of_keys_is_used_up_before_the_next_one_is_drawn(monkeypatch):
    drawn = []
    monkeypatch.setattr(os, "urandom", lambda size: drawn.append(size) or bytes(size))
    masking = load_again()
    for _ in range(masking.KEY_BLOCK // 4):
        masking.new_mask_key()
    assert drawn == [masking.KEY_BLOCK]
    masking.new_mask_key()
    assert drawn == [masking.KEY_BLOCK] * 2
