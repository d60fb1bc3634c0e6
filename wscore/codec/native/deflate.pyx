# cython: freethreading_compatible=True
"""Compressing and inflating messages (RFC 7692 section 7.2), compiled, on zlib's C interface.

Decides when a compressor's or an inflater's memory is needed, and how much may come out of an inflater. What was
negotiated is told to it; it knows nothing of frames.

Who owns the memory. A sender may drop its compressor between any two messages: the next one then refers to nothing
earlier, and any inflater follows. So compressors may live in a `DeflatePool` that many connections share; the one
that was not used for longest is dropped. A receiver may drop its inflater only if the peer has promised not to
refer to earlier messages. Streams that nobody needs any more are kept, a few, for whoever needs one next: resetting
one is much cheaper than making one.

Threads: every public method holds its object's critical section, so that a stream has one user at a time; a stream that
is in use is on no list, and no other thread sees it. What a pool shares has a lock.
"""

cimport cython
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release
from cpython.object cimport PyObject
from libc.stdint cimport uint8_t
from libc.string cimport memcpy

from wscore.codec.errors import DEFLATE_INVALID, TOO_MANY_FINAL_BLOCKS, DefectError

from wscore.codec.native.buffers cimport (
    Growing, clipped, discard_grown, exchange, get_buffer, grown_capacity, grown_data, reserve, take_grown,
)
from wscore.codec.native.streams cimport (
    Bytef, Stream, Z_BUF_ERROR, Z_MEM_ERROR, Z_NO_FLUSH, Z_OK, Z_STREAM_END, Z_SYNC_FLUSH, acquire, deflate, end_chain,
    end_stream, free_lock, inflate, inflateGetDictionary, inflateReset, inflateSetDictionary, is_between_blocks,
    library_name, make_idle, new_lock, new_stream, release, reset_stream, take_idle,
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

# Where zlib writes, unless it is lent; then another is made, and the last to come back stays.
cdef PyObject* _spare = NULL


cdef Growing borrow_scratch() noexcept:
    return Growing(exchange(&_spare, NULL), 0)


cdef void return_scratch(Growing* scratch) noexcept:
    if grown_capacity(scratch) > MAX_SCRATCH_KEPT:
        discard_grown(scratch)
    scratch.store = exchange(&_spare, scratch.store)
    discard_grown(scratch)


cdef inline Py_ssize_t _block_size(int number) noexcept:
    """The room that zlib gets at first, and each time after it has used it up.

    These are the sizes that Python's zlib gives. They make a difference at level 0, and to peers that refer to more
    than the window that they agreed to: zlib tells neither by the window, but by the output that it still sees.
    """
    return 1 << 15 if number == 0 else 1 << 16 if number == 1 else 1 << 18


cdef int _check_window(object window_bits, int least) except -1:
    cdef Py_ssize_t bits = clipped(window_bits, NULL)
    if not least <= bits <= 15:
        raise ValueError(f"window_bits must be between {least} and 15")
    return <int>bits


include "pool.pxi"


# Final, so that the pool cannot write to where its stream was, in the middle of a subclass's end.
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
        window_bits=15,
        *,
        bint context_takeover=True,
        level=1,
        mem_level=8,
        DeflatePool pool=None,
    ):
        cdef Py_ssize_t effort = clipped(level, NULL)
        cdef Py_ssize_t memory = clipped(mem_level, NULL)
        if not 0 <= effort <= 9 or not 1 <= memory <= 9:
            raise ValueError("level must be between 0 and 9, mem_level between 1 and 9")
        cdef int bits = _check_window(window_bits, 9)
        with cython.critical_section(self):
            # If it is called again, what it has belongs to the old settings.
            self.forget()
            self.bits = bits
            self.context_takeover = context_takeover
            self.level = <int>effort
            self.mem_level = <int>memory
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
        get_buffer(data, &view, PyBUF_SIMPLE)
        try:
            return _deflated(self, <const uint8_t*>view.buf, view.len, final)
        finally:
            PyBuffer_Release(&view)

    @cython.critical_section
    def drop(self):
        """Forget the context: the next message refers to nothing earlier. Frees the compressor."""
        self.forget()

    cdef int forget(self) noexcept:
        cdef Stream* stream
        if self.pool is None:
            stream = <Stream*>self.stream
            self.stream = NULL
            if stream != NULL:
                end_stream(stream)
            return 0
        acquire(self.pool.lock)
        stream = <Stream*>self.stream
        if stream != NULL:
            _delist(self.pool, stream)
            make_idle(&self.pool.idle_compressors, stream, self.pool.size - self.pool.held)
        release(self.pool.lock)
        return 0

    cdef int deflate_bytes(self, const uint8_t* data, Py_ssize_t size, bint final, Growing* output) except -1:
        cdef bint keep = self.context_takeover or not final
        cdef Stream* stream = _take_stream(self, keep)
        try:
            _compress(stream, data, size, output)
        except BaseException:
            _give_stream(self, stream, False)
            raise
        _give_stream(self, stream, keep)
        return _leave_tail_out(output) if final else 0


cdef bytes _deflated(Deflater self, const uint8_t* data, Py_ssize_t size, bint final):
    cdef Growing output = borrow_scratch()
    try:
        with cython.critical_section(self):
            self.deflate_bytes(data, size, final, &output)
        return grown_data(&output)[:output.size]
    finally:
        return_scratch(&output)


cdef Stream* _take_stream(Deflater owner, bint keep) except NULL:
    """The stream with the context of `owner`, or a fresh one; nobody else sees it."""
    cdef Stream* stream
    if owner.pool is None:
        stream = <Stream*>owner.stream
        owner.stream = NULL
    else:
        stream = _take_pooled_stream(owner.pool, owner, keep)
    return stream if stream != NULL else new_stream(owner.bits, owner.level, owner.mem_level)


cdef Stream* _take_pooled_stream(DeflatePool pool, Deflater owner, bint keep) noexcept:
    cdef Stream* stream
    acquire(pool.lock)
    stream = <Stream*>owner.stream
    if stream != NULL:
        _delist(pool, stream)
        release(pool.lock)
        return stream
    # This one will be kept: what it would push out at the end may as well serve it now.
    if keep and pool.held == pool.size:
        _evict_oldest(pool)
    stream = take_idle(&pool.idle_compressors, owner.bits, owner.level, owner.mem_level)
    release(pool.lock)
    if stream != NULL:
        reset_stream(stream)
    return stream


cdef void _give_stream(Deflater owner, Stream* stream, bint keep) noexcept:
    """Give back what `_take_stream` took: to `owner`, or to whoever needs one next."""
    cdef DeflatePool pool = owner.pool
    if pool is None:
        if keep:
            owner.stream = stream
        else:
            end_stream(stream)
        return
    acquire(pool.lock)
    if keep:
        _enlist(pool, stream, &owner.stream)
    else:
        make_idle(&pool.idle_compressors, stream, pool.size - pool.held)
    release(pool.lock)


cdef int _compress(Stream* stream, const uint8_t* data, Py_ssize_t size, Growing* output) except -1:
    """Write all of the output for `data`, flushed.

    Whoever changes `data` meanwhile gets it compressed in part as it was and in part as it is: zlib looks at each byte
    once, when it copies it.
    """
    cdef Py_ssize_t step
    stream.z.next_in = <Bytef*>data  # zlib only reads it
    while True:
        step = min(size, <Py_ssize_t>MAX_STEP)
        stream.z.avail_in = <unsigned int>step
        _drain(stream, Z_NO_FLUSH, output)
        size -= step
        if size == 0:
            return _drain(stream, Z_SYNC_FLUSH, output)


cdef int _drain(Stream* stream, int flush, Growing* output) except -1:
    """Run the compressor until there is no more to come out."""
    cdef Py_ssize_t room
    cdef int number = 0
    cdef int code
    while True:
        room = _block_size(number)
        number += 1
        stream.z.next_out = reserve(output, room, output.size)
        stream.z.avail_out = <unsigned int>room
        code = deflate(&stream.z, flush)
        if code != Z_OK and code != Z_BUF_ERROR:
            raise RuntimeError(f"zlib cannot compress: error {code}")
        output.size += room - stream.z.avail_out
        if stream.z.avail_out:
            return 0


cdef int _leave_tail_out(Growing* output) noexcept:
    if output.size > TAIL_SIZE:
        output.size -= TAIL_SIZE
        return 0
    # zlib writes nothing at all if it has just flushed and nothing came since. Then the message is one empty
    # uncompressed block without its tail (section 7.2.3.6).
    grown_data(output)[0] = 0
    output.size = 1
    return 0


@cython.no_gc
@cython.auto_pickle(False)
cdef class Inflater:
    """Inflates the messages of one direction, with a bound on what comes out (RFC 7692 section 7.2.2).

    `window_bits` is 8 to 15, the size of the peer's window. Without `context_takeover` nothing is kept between
    messages; a `pool` then lends the memory for the time of a message.
    """

    def __cinit__(self):
        # Even if `__init__` never runs this makes an inflater.
        self.bits = 15

    def __init__(self, window_bits=15, *, bint context_takeover=True, DeflatePool pool=None):
        cdef int bits = _check_window(window_bits, 8)
        with cython.critical_section(self):
            # If it is called again, what it has belongs to the old settings.
            _return_stream(self)
            self.bits = bits
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
        cdef int result
        _check_max_length(max_length)
        get_buffer(data, &view, PyBUF_SIMPLE)
        try:
            with cython.critical_section(self):
                result = self.inflate_bytes(<const uint8_t*>view.buf, view.len, &output, max_length)
            return _inflated(result, &output)
        finally:
            discard_grown(&output)
            PyBuffer_Release(&view)

    def finish(self, Py_ssize_t max_length):
        """End the message: what the tail that its sender left out brings to light, at most `max_length` bytes (1 or
        more). Raises DefectError if it ends inside a block, which something was cut off from.
        """
        cdef Growing output = Growing(NULL, 0)
        cdef int result
        _check_max_length(max_length)
        try:
            with cython.critical_section(self):
                result = self.finish_bytes(&output, max_length)
            return _inflated(result, &output)
        finally:
            discard_grown(&output)

    cdef int inflate_bytes(self, const uint8_t* data, Py_ssize_t size, Growing* output, Py_ssize_t limit) except -1:
        cdef Growing scratch
        if output.size >= limit:
            return INFLATED
        scratch = borrow_scratch()
        try:
            if self.stream == NULL:
                _borrow_stream(self)
            return _inflate_bytes(self, data, size, &scratch, output, limit)
        finally:
            return_scratch(&scratch)

    cdef int finish_bytes(self, Growing* output, Py_ssize_t limit) except -1:
        cdef int result = INFLATED
        if not _ended_with_final_block(self):
            result = self.inflate_bytes(TAIL, TAIL_SIZE, output, limit)
            if result == INFLATED and output.size < limit and not _has_ended(self):
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
    cdef Stream* stream = NULL
    if owner.pool is not None:
        acquire(owner.pool.lock)
        stream = take_idle(&owner.pool.idle_inflaters, owner.bits, 0, 0)
        release(owner.pool.lock)
    if stream == NULL:
        stream = new_stream(owner.bits, 0, 0)
    else:
        reset_stream(stream)
    owner.stream = stream
    return 0


cdef void _return_stream(Inflater owner) noexcept:
    cdef void* stream = owner.stream
    owner.stream = NULL
    if stream == NULL:
        return
    if owner.pool is None:
        end_stream(stream)
        return
    acquire(owner.pool.lock)
    make_idle(&owner.pool.idle_inflaters, stream, owner.pool.size)
    release(owner.pool.lock)


cdef int _inflate_bytes(
    Inflater owner, const uint8_t* data, Py_ssize_t size, Growing* scratch, Growing* output, Py_ssize_t limit
) except -1:
    cdef Py_ssize_t step
    cdef int result
    while True:
        step = min(size, <Py_ssize_t>MAX_STEP)
        result = _inflate_step(owner, data, <unsigned int>step, scratch, output, limit)
        data += step
        size -= step
        if size == 0 or result != INFLATED or output.size >= limit:
            return result


cdef int _inflate_step(
    Inflater owner, const uint8_t* data, unsigned int size, Growing* scratch, Growing* output, Py_ssize_t limit
) except -1:
    cdef Stream* stream = <Stream*>owner.stream
    cdef int number = 0
    cdef int code
    stream.z.next_in = <Bytef*>data  # zlib only reads it
    stream.z.avail_in = size
    while True:
        code = _inflate_block(stream, min(_block_size(number), limit - output.size), scratch, output, limit)
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


cdef int _inflate_block(
    Stream* stream, Py_ssize_t room, Growing* scratch, Growing* output, Py_ssize_t limit
) except? -100:
    """Inflate at most `room` bytes and append them; what zlib says."""
    cdef Py_ssize_t size
    cdef uint8_t* block = reserve(scratch, room, 0)
    cdef int code
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


cdef inline bint _has_ended(Inflater owner) noexcept:
    """Whether the message, with its tail, ends where a block does, be that a final one."""
    return is_between_blocks(&(<Stream*>owner.stream).z) or _ended_with_final_block(owner)


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
