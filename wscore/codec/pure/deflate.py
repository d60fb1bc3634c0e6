"""Compressing and inflating messages (RFC 7692 section 7.2), on Python's own zlib.

Decides when a compressor's or an inflater's memory is needed, and how much may come out of an inflater. What was
negotiated is told to it; it knows nothing of frames.

Who owns the memory. A sender may drop its compressor between any two messages: the next one then refers to nothing
earlier, and any inflater follows. So compressors may live in a `DeflatePool` that many connections share; the one
that was not used for longest is dropped. A receiver may drop its inflater only if the peer has promised not to
refer to earlier messages.
"""

from __future__ import annotations

import zlib
from collections import OrderedDict
from operator import index

from ..errors import DEFLATE_INVALID, TOO_MANY_FINAL_BLOCKS, DefectError
from .masking import flat_view

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing_extensions import Buffer

__all__ = ["LIBRARY", "DeflatePool", "Deflater", "Inflater"]

# What compresses here, and its version.
LIBRARY = f"zlib {zlib.ZLIB_RUNTIME_VERSION}"

# What a sync flush ends with, and what the sender leaves out (section 7.2.1).
TAIL = b"\x00\x00\xff\xff"

# A last block, uncompressed, and what is in it; only where a block may begin that is what comes out.
LAST_PAYLOAD = b"the last block"
LAST_BLOCK = b"\x01\x0e\x00\xf1\xff" + LAST_PAYLOAD

# An empty message is one empty uncompressed block without its tail (section 7.2.3.6).
EMPTY = b"\x00"

# A sender needs one final block a message (section 7.2.3.4); each costs us a new window, so a peer gets a few, not
# thousands.
MAX_FINAL_BLOCKS = 64


def _check_window(window_bits: int, least: int) -> int:
    window_bits = index(window_bits)
    if not least <= window_bits <= 15:
        raise ValueError(f"window_bits must be between {least} and 15")
    return window_bits


class DeflatePool:
    """Compressors that many `Deflater`s share: at most `size` at a time, the least recently used is dropped first.

    Its deflaters may be used by several threads; one pool per thread or event loop is faster.
    """

    __slots__ = ("_compressors", "_size")

    def __init__(self, size: int = 256) -> None:
        self._size = index(size)
        if self._size < 1:
            raise ValueError("a pool holds at least one compressor")
        self._compressors: OrderedDict[Deflater, zlib._Compress] = OrderedDict()

    def __len__(self) -> int:
        return len(self._compressors)

    def _take(self, owner: Deflater) -> zlib._Compress | None:
        """The compressor that still holds the context of `owner`, or None if it was dropped."""
        return self._compressors.pop(owner, None)

    def _give(self, owner: Deflater, compressor: zlib._Compress) -> None:
        """Keep `compressor` for the next message of `owner`, at the cost of whoever was idle for longest."""
        self._compressors[owner] = compressor
        if len(self._compressors) > self._size:
            self._compressors.popitem(last=False)


class Deflater:
    """Compresses the messages of one direction (RFC 7692 section 7.2.1).

    `window_bits` is 9 to 15: zlib cannot write raw streams with a window of 8. Without `context_takeover` each
    message stands alone. With a `pool`, the compressor is the pool's and may be dropped between messages, which the
    peer does not notice.
    """

    __slots__ = ("__weakref__", "_compressor", "_context_takeover", "_level", "_mem_level", "_pool", "_window_bits")

    def __init__(
        self,
        window_bits: int = 15,
        *,
        context_takeover: bool = True,
        level: int = 1,
        mem_level: int = 8,
        pool: DeflatePool | None = None,
    ) -> None:
        level, mem_level = index(level), index(mem_level)
        if not 0 <= level <= 9 or not 1 <= mem_level <= 9:
            raise ValueError("level must be between 0 and 9, mem_level between 1 and 9")
        self._window_bits = _check_window(window_bits, 9)
        self._context_takeover = bool(context_takeover)
        self._level = level
        self._mem_level = mem_level
        self._pool = pool
        self._compressor: zlib._Compress | None = None

    @property
    def window_bits(self) -> int:
        """The size of the window that the output may refer to, as a power of two."""
        return self._window_bits

    def deflate(self, data: Buffer, final: bool = True) -> bytes:
        """Compress the next part of a message, the whole by default, and return all of its output.

        With `final` the message ends: the output lacks the tail that RFC 7692 section 7.2.1 leaves out.
        """
        compressor = self._take() or zlib.compressobj(self._level, zlib.DEFLATED, -self._window_bits, self._mem_level)
        output = compressor.compress(flat_view(data)) + compressor.flush(zlib.Z_SYNC_FLUSH)
        if final:
            # Some zlibs write nothing at all if they have just flushed and nothing came since.
            output = output[: -len(TAIL)] or EMPTY
        if self._context_takeover or not final:
            self._give(compressor)
        return output

    def drop(self) -> None:
        """Forget the context: the next message refers to nothing earlier. Frees the compressor."""
        self._take()

    def _take(self) -> zlib._Compress | None:
        if self._pool is not None:
            return self._pool._take(self)
        compressor, self._compressor = self._compressor, None
        return compressor

    def _give(self, compressor: zlib._Compress) -> None:
        if self._pool is not None:
            self._pool._give(self, compressor)
        else:
            self._compressor = compressor


class Inflater:
    """Inflates the messages of one direction, with a bound on what comes out (RFC 7692 section 7.2.2).

    `window_bits` is 8 to 15, the size of the peer's window. Without `context_takeover` nothing is kept between
    messages; a `pool` then lends the memory for the time of a message (the compiled twin; here zlib allocates it
    for each message).
    """

    __slots__ = (
        "_context_takeover",
        "_final_blocks",
        "_inflater",
        "_is_fresh",
        "_recent",
        "_recent_size",
        "_window_bits",
    )

    def __init__(
        self, window_bits: int = 15, *, context_takeover: bool = True, pool: DeflatePool | None = None
    ) -> None:
        self._window_bits = _check_window(window_bits, 8)
        self._context_takeover = bool(context_takeover)
        self._inflater: zlib._Decompress | None = None
        self._is_fresh = False  # nothing came since the last final block
        self._recent: list[bytes] = []  # the last output, at least a window of it if there was as much
        self._recent_size = 0
        self._final_blocks = 0

    def inflate(self, data: Buffer, max_length: int) -> bytes:
        """Inflate the next part of a message and return its output, at most `max_length` bytes (1 or more).

        An output of just `max_length` bytes may have been cut short: the rest is lost, so ask for one more byte
        than is allowed. Raises DefectError if `data` is not a DEFLATE stream.
        """
        if max_length < 1:
            # To zlib 0 means "no limit".
            raise ValueError("max_length must be at least 1")
        if self._inflater is None:
            self._inflater = zlib.decompressobj(-self._window_bits)
        try:
            return self._inflate(flat_view(data), max_length)
        except zlib.error:
            raise DefectError(DEFLATE_INVALID) from None

    def finish(self, max_length: int) -> bytes:
        """End the message: what the tail that its sender left out brings to light, at most `max_length` bytes (1 or
        more). Raises DefectError if it ends inside a block, which something was cut off from.
        """
        output = b""
        # Nothing behind a final block: then no tail was left out, though one should have been (section 7.2.3.4).
        if not (self._final_blocks and self._is_fresh):
            output = self.inflate(TAIL, max_length)
            if len(output) < max_length and not self._is_between_blocks():
                raise DefectError(DEFLATE_INVALID)
        self._final_blocks = 0
        if not self._context_takeover:
            self._inflater = None
            self._recent = []
            self._recent_size = 0
        return output

    def _is_between_blocks(self) -> bool:
        """zlib knows, but tells only by how it goes on; a copy finds out."""
        assert self._inflater is not None
        probe = self._inflater.copy() if self._context_takeover else self._inflater
        try:
            output = probe.decompress(LAST_BLOCK)
        except zlib.error:
            return False
        # A block under way may end within ours, but gives something else.
        return probe.eof and not probe.unused_data and output == LAST_PAYLOAD

    def _inflate(self, data: memoryview, max_length: int) -> bytes:
        assert self._inflater is not None
        if data:
            self._is_fresh = False
        output = self._inflater.decompress(data, max_length)
        self._remember(output)
        while self._inflater.eof:
            rest = self._inflater.unused_data
            self._start_after_final_block(rest)
            if not rest or len(output) >= max_length:
                break
            more = self._inflater.decompress(rest, max_length - len(output))
            self._remember(more)
            output += more
        return output

    def _start_after_final_block(self, rest: bytes) -> None:
        """The stream has ended, the message has not: go on with the same window (section 7.2.3.4)."""
        self._final_blocks += 1
        if self._final_blocks > MAX_FINAL_BLOCKS:
            raise DefectError(TOO_MANY_FINAL_BLOCKS)
        self._is_fresh = not rest
        window = b"".join(self._recent)[-(1 << self._window_bits) :]
        self._inflater = zlib.decompressobj(-self._window_bits, zdict=window)

    def _remember(self, output: bytes) -> None:
        """Keep a window of output at hand; zlib's own cannot be read from Python. The parts are shared, not copied."""
        window = 1 << self._window_bits
        if len(output) >= window:
            self._recent = [output[-window:]]
            self._recent_size = window
            return
        self._recent.append(output)
        self._recent_size += len(output)
        if self._recent_size >= 2 * window or len(self._recent) >= 256:
            self._recent = [b"".join(self._recent)[-window:]]
            self._recent_size = len(self._recent[0])
