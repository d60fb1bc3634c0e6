"""Compressing and inflating messages (RFC 7692 section 7.2), compiled, on zlib's C interface.

Decides when a compressor's or an inflater's memory is needed, and how much may come out of an inflater. What was
negotiated is told to it; it knows nothing of frames.

Who owns the memory. A sender may drop its compressor between any two messages: the next one then refers to nothing
earlier, and any inflater follows. So compressors may live in a `DeflatePool` that many connections share; the one
that was not used for longest is dropped. A receiver may drop its inflater only if the peer has promised not to
refer to earlier messages. Streams that nobody needs any more are kept, a few, for whoever needs one next: resetting
one is much cheaper than making one.
"""

cimport cython
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_FromStringAndSize
from libc.stdint cimport uint8_t
from libc.string cimport memcpy

from wscore.codec.errors import DEFLATE_INVALID, TOO_MANY_FINAL_BLOCKS, DefectError

from wscore.codec.native.buffers cimport (
    Growing, discard_grown, grown_capacity, grown_data, reserve, take_grown,
)
from wscore.codec.native.streams cimport (
    Bytef, Stream, Z_BUF_ERROR, Z_MEM_ERROR, Z_NO_FLUSH, Z_OK, Z_STREAM_END, Z_SYNC_FLUSH, deflate, end_chain,
    end_stream, inflate, inflateGetDictionary, inflateReset, inflateSetDictionary, is_between_blocks, library_name,
    make_idle, new_stream, reuse_idle,
)

__all__ = ["LIBRARY", "DeflatePool", "Deflater", "Inflater"]

# What compresses here, and its version.
LIBRARY = library_name()

# What a sync flush ends with, and what the sender leaves out (section 7.2.1).
cdef const uint8_t* TAIL = <const uint8_t*><const char*>b"\x00\x00\xff\xff"
cdef enum:
    TAIL_SIZE = 4
    # A sender needs one final block a message (section 7.2.3.4); each costs us a new window, so a peer gets a few, not
    # thousands.
    MAX_FINAL_BLOCKS = 64
    # What a call of zlib is given at most: it counts in 32 bits.
    MAX_STEP = 1 << 30
    MAX_SCRATCH_KEPT = 1 << 19

# An empty message is one empty uncompressed block without its tail (section 7.2.3.6).
cdef const uint8_t* EMPTY = <const uint8_t*><const char*>b"\x00"

# Where zlib writes. Nothing between writing and reading it lets another thread run.
cdef Growing _scratch


cdef inline Py_ssize_t _block_size(int number) noexcept:
    """The room that zlib gets at first, and each time after it has used it up.

    These are the sizes that Python's zlib gives. They make a difference at level 0, and to peers that refer to more
    than the window that they agreed to: zlib tells neither by the window, but by the output that it still sees.
    """
    return 1 << 15 if number == 0 else 1 << 16 if number == 1 else 1 << 18


cdef int _check_window(int window_bits, int least) except -1:
    if not least <= window_bits <= 15:
        raise ValueError(f"window_bits must be between {least} and 15")
    return window_bits


@cython.no_gc
@cython.auto_pickle(False)
cdef class DeflatePool:
    """Compressors that many `Deflater`s share: at most `size` at a time, the least recently used is dropped first.

    Not for use from several threads at once: one pool per thread or event loop.
    """

    def __init__(self, Py_ssize_t size=256):
        if size < 1:
            raise ValueError("a pool holds at least one compressor")
        self.size = size

    def __len__(self):
        return self.held

    def __dealloc__(self):
        # Deflaters keep their pool alive: none is on the list any more.
        end_chain(self.idle_compressors)
        end_chain(self.idle_inflaters)


cdef void _enlist(DeflatePool pool, Deflater owner) noexcept:
    """Keep the stream of `owner` for its next message, at the cost of whoever was idle for longest."""
    owner.pooled = True
    owner.older = pool.newest
    owner.newer = NULL
    if pool.newest == NULL:
        pool.oldest = <void*>owner
    else:
        (<Deflater>pool.newest).newer = <void*>owner
    pool.newest = <void*>owner
    pool.held += 1
    if pool.held > pool.size:
        _evict_oldest(pool)
    if pool.held == pool.size:
        end_chain(pool.idle_compressors)
        pool.idle_compressors = NULL


cdef void _delist(DeflatePool pool, Deflater owner) noexcept:
    owner.pooled = False
    if owner.older == NULL:
        pool.oldest = owner.newer
    else:
        (<Deflater>owner.older).newer = owner.newer
    if owner.newer == NULL:
        pool.newest = owner.older
    else:
        (<Deflater>owner.newer).older = owner.older
    pool.held -= 1


cdef void _evict_oldest(DeflatePool pool) noexcept:
    cdef Deflater owner = <Deflater>pool.oldest
    _delist(pool, owner)
    make_idle(&pool.idle_compressors, owner.stream, pool.size - pool.held)
    owner.stream = NULL


# Final, so that none is visited through its pool's list in the middle of a subclass's end.
@cython.final
@cython.no_gc
@cython.auto_pickle(False)
cdef class Deflater:
    """Compresses the messages of one direction (RFC 7692 section 7.2.1).

    `window_bits` is 9 to 15: zlib cannot write raw streams with a window of 8. Without `context_takeover` each
    message stands alone. With a `pool`, the compressor is the pool's and may be dropped between messages, which the
    peer does not notice.
    """

    def __cinit__(self):
        # Even if `__init__` never runs these make a compressor.
        self.bits = 15
        self.mem_level = 8

    def __init__(
        self,
        int window_bits=15,
        *,
        bint context_takeover=True,
        int level=1,
        int mem_level=8,
        DeflatePool pool=None,
    ):
        if not 0 <= level <= 9 or not 1 <= mem_level <= 9:
            raise ValueError("level must be between 0 and 9, mem_level between 1 and 9")
        _check_window(window_bits, 9)
        # If it is called again, what it has belongs to the old settings.
        self.forget()
        self.bits = window_bits
        self.context_takeover = context_takeover
        self.level = level
        self.mem_level = mem_level
        self.pool = pool

    def __dealloc__(self):
        self.forget()

    @property
    def window_bits(self):
        """The size of the window that the output may refer to, as a power of two."""
        return self.bits

    def deflate(self, data, bint final=True):
        """Compress the next part of a message, the whole by default, and return all of its output.

        With `final` the message ends: the output lacks the tail that RFC 7692 section 7.2.1 leaves out.
        """
        cdef Py_buffer view
        cdef const uint8_t* output
        cdef Py_ssize_t size
        PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
        try:
            size = self.deflate_bytes(<const uint8_t*>view.buf, view.len, final, &output)
            return PyBytes_FromStringAndSize(<const char*>output, size)
        finally:
            PyBuffer_Release(&view)

    def drop(self):
        """Forget the context: the next message refers to nothing earlier. Frees the compressor."""
        self.forget()

    cdef int forget(self) except -1:
        cdef void* stream = self.stream
        if stream == NULL:
            return 0
        if self.pooled:
            _delist(self.pool, self)
        self.stream = NULL
        if self.pool is None:
            end_stream(stream)
        else:
            make_idle(&self.pool.idle_compressors, stream, self.pool.size - self.pool.held)
        return 0

    cdef Py_ssize_t deflate_bytes(
        self, const uint8_t* data, Py_ssize_t size, bint final, const uint8_t** output
    ) except -1:
        cdef bint keep = self.context_takeover or not final
        _take_stream(self, keep)
        try:
            _compress(<Stream*>self.stream, data, size)
        except BaseException:
            self.forget()
            raise
        if not keep:
            self.forget()
        elif self.pool is not None:
            _enlist(self.pool, self)
        return _finished(final, output)


cdef int _take_stream(Deflater owner, bint keep) except -1:
    """See that `owner` has its stream, off the pool's list, or a fresh one."""
    cdef DeflatePool pool = owner.pool
    if owner.pooled:
        _delist(pool, owner)
    if owner.stream != NULL:
        return 0
    if pool is not None:
        # This one will be kept: what it would push out at the end may as well serve it now.
        if keep and pool.held == pool.size:
            _evict_oldest(pool)
        owner.stream = reuse_idle(&pool.idle_compressors, owner.bits, owner.level, owner.mem_level)
    if owner.stream == NULL:
        owner.stream = new_stream(owner.bits, owner.level, owner.mem_level)
    return 0


cdef int _compress(Stream* stream, const uint8_t* data, Py_ssize_t size) except -1:
    """Write all of the output for `data`, flushed, into the scratch memory."""
    cdef Py_ssize_t step
    _scratch.size = 0
    if grown_capacity(&_scratch) > MAX_SCRATCH_KEPT:
        discard_grown(&_scratch)
    stream.z.next_in = <Bytef*>data  # zlib only reads it
    while True:
        step = min(size, <Py_ssize_t>MAX_STEP)
        stream.z.avail_in = <unsigned int>step
        _drain(stream, Z_NO_FLUSH)
        size -= step
        if size == 0:
            return _drain(stream, Z_SYNC_FLUSH)


cdef int _drain(Stream* stream, int flush) except -1:
    """Run the compressor until there is no more to come out."""
    cdef Py_ssize_t room
    cdef int number = 0
    cdef int code
    while True:
        room = _block_size(number)
        number += 1
        stream.z.next_out = reserve(&_scratch, room, _scratch.size)
        stream.z.avail_out = <unsigned int>room
        code = deflate(&stream.z, flush)
        if code != Z_OK and code != Z_BUF_ERROR:
            raise RuntimeError(f"zlib cannot compress: error {code}")
        _scratch.size += room - stream.z.avail_out
        if stream.z.avail_out:
            return 0


cdef Py_ssize_t _finished(bint final, const uint8_t** output) noexcept:
    output[0] = grown_data(&_scratch)
    if not final:
        return _scratch.size
    if _scratch.size > TAIL_SIZE:
        return _scratch.size - TAIL_SIZE
    # zlib writes nothing at all if it has just flushed and nothing came since.
    output[0] = EMPTY
    return 1


@cython.no_gc
@cython.auto_pickle(False)
cdef class Inflater:
    """Inflates the messages of one direction, with a bound on what comes out (RFC 7692 section 7.2.2).

    `window_bits` is 8 to 15, the size of the peer's window. Without `context_takeover` nothing is kept between
    messages; a `pool` then lends the memory for the time of a message.
    """

    def __init__(self, int window_bits=15, *, bint context_takeover=True, DeflatePool pool=None):
        _check_window(window_bits, 8)
        # If it is called again, what it has belongs to the old settings.
        _return_stream(self)
        self.bits = window_bits
        self.context_takeover = context_takeover
        self.pool = pool
        self.final_blocks = 0

    def __dealloc__(self):
        _return_stream(self)

    def inflate(self, data, Py_ssize_t max_length):
        """Inflate the next part of a message and return its output, at most `max_length` bytes (1 or more).

        An output of just `max_length` bytes may have been cut short: the rest is lost, so ask for one more byte
        than is allowed. Raises DefectError if `data` is not a DEFLATE stream.
        """
        cdef Py_buffer view
        cdef Growing output = Growing(NULL, 0)
        _check_max_length(max_length)
        PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
        try:
            return _inflated(self.inflate_bytes(<const uint8_t*>view.buf, view.len, &output, max_length), &output)
        finally:
            discard_grown(&output)
            PyBuffer_Release(&view)

    def finish(self, Py_ssize_t max_length):
        """End the message: what the tail that its sender left out brings to light, at most `max_length` bytes (1 or
        more). Raises DefectError if it ends inside a block, which something was cut off from.
        """
        cdef Growing output = Growing(NULL, 0)
        _check_max_length(max_length)
        try:
            return _inflated(self.finish_bytes(&output, max_length), &output)
        finally:
            discard_grown(&output)

    cdef int inflate_bytes(self, const uint8_t* data, Py_ssize_t size, Growing* output, Py_ssize_t limit) except -1:
        cdef Py_ssize_t step
        cdef int result
        if self.stream == NULL:
            _borrow_stream(self)
        while True:
            step = min(size, <Py_ssize_t>MAX_STEP)
            result = _inflate_step(self, data, <unsigned int>step, output, limit)
            data += step
            size -= step
            if size == 0 or result != INFLATED or output.size >= limit:
                return result

    cdef int finish_bytes(self, Growing* output, Py_ssize_t limit) except -1:
        cdef int result = INFLATED
        if not _ended_with_final_block(self):
            result = self.inflate_bytes(TAIL, TAIL_SIZE, output, limit)
            if result == INFLATED and output.size < limit and not is_between_blocks(&(<Stream*>self.stream).z):
                result = INFLATE_INVALID
        if result == INFLATED:
            self.final_blocks = 0
            if not self.context_takeover:
                _return_stream(self)
        return result


cdef int _check_max_length(Py_ssize_t max_length) except -1:
    if max_length < 1:
        raise ValueError("max_length must be at least 1")
    return 0


cdef bytes _inflated(int result, Growing* output):
    if result == INFLATE_INVALID:
        raise DefectError(DEFLATE_INVALID)
    if result == INFLATE_TOO_MANY_FINAL_BLOCKS:
        raise DefectError(TOO_MANY_FINAL_BLOCKS)
    return take_grown(output)


cdef int _borrow_stream(Inflater owner) except -1:
    if owner.pool is not None:
        owner.stream = reuse_idle(&owner.pool.idle_inflaters, owner.bits, 0, 0)
    if owner.stream == NULL:
        owner.stream = new_stream(owner.bits, 0, 0)
    return 0


cdef void _return_stream(Inflater owner) noexcept:
    cdef void* stream = owner.stream
    owner.stream = NULL
    if stream == NULL:
        return
    if owner.pool is None:
        end_stream(stream)
    else:
        make_idle(&owner.pool.idle_inflaters, stream, owner.pool.size)


cdef int _inflate_step(
    Inflater owner, const uint8_t* data, unsigned int size, Growing* output, Py_ssize_t limit
) except -1:
    cdef Stream* stream = <Stream*>owner.stream
    cdef int number = 0
    cdef int code
    stream.z.next_in = <Bytef*>data  # zlib only reads it
    stream.z.avail_in = size
    while True:
        code = _inflate_block(stream, min(_block_size(number), limit - output.size), output, limit)
        number += 1
        if code == Z_STREAM_END:
            if not _start_after_final_block(owner, stream):
                return INFLATE_TOO_MANY_FINAL_BLOCKS
            if stream.z.avail_in == 0 or output.size >= limit:
                return INFLATED
            number = 0
        elif code != Z_OK and code != Z_BUF_ERROR:
            return INFLATE_INVALID
        elif stream.z.avail_out or output.size >= limit:
            return INFLATED


cdef int _inflate_block(Stream* stream, Py_ssize_t room, Growing* output, Py_ssize_t limit) except? -100:
    """Inflate at most `room` bytes and append them; what zlib says."""
    cdef Py_ssize_t size
    cdef uint8_t* block
    cdef int code
    _scratch.size = 0
    block = reserve(&_scratch, room, 0)
    stream.z.next_out = block
    stream.z.avail_out = <unsigned int>room
    code = inflate(&stream.z, Z_SYNC_FLUSH)
    if code == Z_MEM_ERROR:
        raise MemoryError
    size = room - stream.z.avail_out
    if size:
        # A message that comes whole gets just its size, one that goes on as much again as there is.
        memcpy(reserve(output, size, min(output.size, limit - output.size - size)), block, size)
        output.size += size
    return code


cdef inline bint _ended_with_final_block(Inflater owner) noexcept:
    """Whether nothing came behind a final block: then no tail was left out, though one should have been (7.2.3.4)."""
    return owner.final_blocks != 0 and (<Stream*>owner.stream).z.total_in == 0


cdef bint _start_after_final_block(Inflater owner, Stream* stream) noexcept:
    """The stream has ended, the message has not: go on with the same window (section 7.2.3.4). False if this happens
    too often.
    """
    cdef uint8_t window[1 << 15]
    cdef unsigned int size = 0
    owner.final_blocks += 1
    if owner.final_blocks > MAX_FINAL_BLOCKS:
        return False
    inflateGetDictionary(&stream.z, window, &size)
    inflateReset(&stream.z)
    inflateSetDictionary(&stream.z, window, size)
    return True
