# cython: freethreading_compatible=True
"""From messages to the bytes of one direction (RFC 6455 section 5, RFC 7692 section 7.2.1), compiled.

Decides how a message becomes frames, masked and compressed as the direction needs it, and holds them until they are
taken. Whether a message may be sent now is the connection's affair, except that a fragmented message has to end
before the next begins.

Frames grow in the very object that `take` hands out. What may fail comes first, mask keys and memory, so that a call
that raises has written nothing.

Threads: every public method holds the writer's critical section. Another thread may come in wherever that is suspended,
where Python code or another lock may run; so no pointer into the frames lives across such a place.
"""

cimport cython
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdint cimport uint8_t
from libc.string cimport memcpy

from wscore.codec.errors import LocalProtocolError
from wscore.codec.native.masking import new_mask_key
from wscore.codec.opcodes import CLIENT, Role

from wscore.codec.native.buffers cimport (
    PY_SSIZE_T_MAX, Growing, clipped, discard_grown, get_buffer, grown_data, reserve, take_grown,
)
from wscore.codec.native.deflate cimport Deflater, borrow_scratch, return_scratch
from wscore.codec.native.frames cimport (
    BINARY, CLOSE, FIN, MAX_CONTROL_PAYLOAD, MAX_HEADER, PING, PONG, RSV1, TEXT, put_frame, put_text_frame,
    write_header,
)
from wscore.codec.native.kernels cimport WSCORE_SLACK, Kernels, kernels_in_use
from wscore.codec.native.masking cimport take_mask_key
from wscore.codec.native.text cimport (
    PyUnicode_AsUTF8String, PyUnicode_DATA, PyUnicode_IS_COMPACT_ASCII, utf8_size,
)

__all__ = ["Writer", "write_to_all"]

cdef const Kernels* kernels = kernels_in_use()

# What is passed for `compress` where Python passes None: the threshold decides.
cdef enum:
    BY_DEFAULT = -1

cdef enum:
    # `take_buffers` hands out payloads from this size on as they are: below it, one more system call costs more than
    # the copy.
    LARGE_PAYLOAD = 1 << 14
    # Up to this many bytes the memory doubles; more would waste too much.
    DOUBLING = 1 << 20


@cython.no_gc
@cython.auto_pickle(False)
cdef class Writer:
    """Frames messages and control frames, in the order of the calls, into memory that is empty again once taken.

    `role` is our own: a client masks, a server does not. With a `deflater`, messages of `compression_threshold`
    bytes (of UTF-8) and more are compressed, unless a call says otherwise; below the threshold nothing is.
    """

    def __init__(self, role: Role, *, Deflater deflater=None, compression_threshold=0):
        cdef Py_ssize_t threshold = clipped(compression_threshold, NULL)
        with cython.critical_section(self):
            self.in_message = False
            self.masks = role is CLIENT
            self.deflater = deflater
            self.threshold = threshold
            self.chunks = None
            self.chunks_size = 0
            discard_grown(&self.tail)

    def __dealloc__(self):
        discard_grown(&self.tail)

    @property
    @cython.critical_section
    def pending(self):
        """How many bytes were not taken yet."""
        return self.pending_bytes()

    @cython.critical_section
    def compresses(self, Py_ssize_t size, compress=None):
        """Whether `write` would compress a message of `size` bytes, given `compress`."""
        return _compresses(self, size, BY_DEFAULT if compress is None else bool(compress))

    @cython.critical_section
    def write(self, message, compress=None):
        """Frame one message: `str` becomes text, any buffer becomes binary (RFC 6455 section 5.6).

        `compress=False` sends it as it is, True compresses it below the threshold too; without a deflater neither
        has an effect. Raises UnicodeEncodeError for lone surrogates, TypeError for anything else than text or a
        buffer, LocalProtocolError in the middle of a fragmented message; nothing is written then.
        """
        self.write_message(message, BY_DEFAULT if compress is None else bool(compress))

    @cython.critical_section
    def write_fragment(self, data, bint fin, compress=None):
        """Frame the next fragment of a message; the first one fixes its type and whether it is compressed (section
        5.4).

        Raises as `write`, and LocalProtocolError if `data` is of another type than the message.
        """
        cdef Py_buffer view
        # A first fragment tells nothing about the size of the message, so no threshold binds it.
        cdef bint wanted = compress is None or bool(compress)
        if isinstance(data, str):
            data = PyUnicode_AsUTF8String(data)
            _write_fragment(self, TEXT, <const uint8_t*>PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data), fin, wanted)
            return
        get_buffer(data, &view, PyBUF_SIMPLE)
        try:
            _write_fragment(self, BINARY, <const uint8_t*>view.buf, view.len, fin, wanted)
        finally:
            PyBuffer_Release(&view)

    @cython.critical_section
    def write_control(self, opcode, payload=b""):
        """Frame a Close, Ping or Pong; it may stand between fragments (section 5.5).

        Raises ValueError if `opcode` is no control opcode or `payload` has more than 125 bytes.
        """
        cdef Py_buffer view
        cdef Py_ssize_t code = clipped(opcode, NULL)
        get_buffer(payload, &view, PyBUF_SIMPLE)
        try:
            if code not in (CLOSE, PING, PONG) or view.len > MAX_CONTROL_PAYLOAD:
                raise ValueError("a control frame is a Close, Ping or Pong of at most 125 bytes")
            self.write_control_bytes(<int>code, <const uint8_t*>view.buf, view.len)
        finally:
            PyBuffer_Release(&view)

    @cython.critical_section
    def write_raw(self, bytes frames not None):
        """Append `frames`, whole messages that were framed elsewhere, as they are.

        Raises LocalProtocolError in the middle of a fragmented message.
        """
        _check_between_messages(self)
        _append_frames(self, frames)

    def write_prepared(self, message, compress=None):
        """As `write`, for a message that was framed once for many writers. Raises LocalProtocolError as `write` does.
        """
        _check_between_messages(self)
        if not write_to_all((self,), message, compress):
            _check_between_messages(self)  # as it was not while the message was being framed

    @cython.critical_section
    def take(self):
        """All frames not taken yet, as one bytes object; nothing is left."""
        if self.chunks is None:
            return take_grown(&self.tail)
        return b"".join(_take_buffers(self))

    @cython.critical_section
    def take_buffers(self):
        """As `take`, for a gathering write: unmasked, uncompressed `bytes` payloads of 16 KiB and more are not
        copied.
        """
        return _take_buffers(self)

    cdef Py_ssize_t pending_bytes(self) noexcept:
        return self.chunks_size + self.tail.size

    cdef int write_message(self, object message, int compress) except -1:
        cdef Py_buffer view
        _check_between_messages(self)
        if type(message) is bytes:
            return _write_bytes(self, message, compress)
        if isinstance(message, str):
            return _write_text(self, message, compress)
        get_buffer(message, &view, PyBUF_SIMPLE)
        try:
            # What exports the buffer may have begun a fragmented message meanwhile (PEP 688).
            _check_between_messages(self)
            return _write_message(self, BINARY, <const uint8_t*>view.buf, view.len, compress)
        finally:
            PyBuffer_Release(&view)

    cdef int write_bytes(self, int opcode, const uint8_t* data, Py_ssize_t size, int compress) except -1:
        _check_between_messages(self)
        return _write_message(self, opcode, data, size, compress)

    cdef int write_control_bytes(self, int opcode, const uint8_t* data, Py_ssize_t size) except -1:
        return _write_frame(self, FIN | opcode, data, size)


cdef list _take_buffers(Writer self):
    cdef list buffers = self.chunks
    self.chunks = None
    self.chunks_size = 0
    if buffers is None:
        buffers = []
    if self.tail.size:
        buffers.append(take_grown(&self.tail))
    return buffers


cdef inline int _check_between_messages(Writer self) except -1:
    if self.in_message:
        raise LocalProtocolError("a fragmented message is being sent: end it with fin=True first")
    return 0


# Messages

cdef int _write_bytes(Writer self, bytes message, int compress) except -1:
    cdef Py_ssize_t size = PyBytes_GET_SIZE(message)
    if size >= LARGE_PAYLOAD and not self.masks and not _compresses(self, size, compress):
        return _write_uncopied(self, FIN | BINARY, message)
    return _write_message(self, BINARY, <const uint8_t*>PyBytes_AS_STRING(message), size, compress)


cdef int _write_text(Writer self, object message, int compress) except -1:
    cdef Py_ssize_t size = utf8_size(kernels, message)
    if PyUnicode_IS_COMPACT_ASCII(message):
        return _write_message(self, TEXT, <const uint8_t*>PyUnicode_DATA(message), size, compress)
    if not _compresses(self, size, compress):
        return _put_text(self, message, size)
    # Not the function that leaves its result in the string for ever.
    encoded = PyUnicode_AsUTF8String(message)
    return _write_compressed(self, FIN | RSV1 | TEXT, <const uint8_t*>PyBytes_AS_STRING(encoded), size)


cdef inline bint _compresses(Writer self, Py_ssize_t size, int compress) noexcept:
    if self.deflater is None:
        return False
    return size >= self.threshold if compress == BY_DEFAULT else compress


cdef inline int _write_message(
    Writer self, int opcode, const uint8_t* data, Py_ssize_t size, int compress
) except -1:
    if _compresses(self, size, compress):
        return _write_compressed(self, FIN | RSV1 | opcode, data, size)
    return _write_frame(self, FIN | opcode, data, size)


cdef int _write_fragment(
    Writer self, int opcode, const uint8_t* data, Py_ssize_t size, bint fin, bint compress
) except -1:
    cdef bint text = opcode == TEXT
    cdef bint compressed = self.compressed
    cdef int first = FIN if fin else 0
    if not self.in_message:
        compressed = self.deflater is not None and compress
        first |= opcode | (RSV1 if compressed else 0)
    elif self.text != text:
        raise LocalProtocolError("the fragments of a message are all text or all binary")
    if compressed:
        _write_compressed(self, first, data, size)
    else:
        _write_frame(self, first, data, size)
    self.in_message = not fin
    self.text = text
    self.compressed = compressed
    return 0


# Frames

cdef inline uint8_t* _room(Writer self, Py_ssize_t size) except NULL:
    """Where the next `size` bytes go. The memory grows in proportion to what is in it."""
    cdef Py_ssize_t known = self.tail.size
    return reserve(&self.tail, size, known if known < DOUBLING else known >> 3)


cdef inline int _write_frame(Writer self, int first, const uint8_t* data, Py_ssize_t size) except -1:
    cdef uint8_t key[4]
    if self.masks:
        take_mask_key(key)
        return _put_frame(self, first, data, size, key)
    return _put_frame(self, first, data, size, NULL)


cdef int _put_frame(Writer self, int first, const uint8_t* data, Py_ssize_t size, const uint8_t* key) except -1:
    if size > PY_SSIZE_T_MAX - MAX_HEADER:
        raise MemoryError
    self.tail.size += put_frame(_room(self, size + MAX_HEADER), first, data, size, key)
    return 0


cdef int _put_text(Writer self, object text, Py_ssize_t size) except -1:
    """Encode text of `size` bytes straight into its frame."""
    cdef uint8_t key[4]
    cdef uint8_t* target
    if self.masks:
        take_mask_key(key)
    if size > PY_SSIZE_T_MAX - MAX_HEADER - WSCORE_SLACK:
        raise MemoryError
    target = _room(self, size + MAX_HEADER + WSCORE_SLACK)
    self.tail.size += put_text_frame(kernels, target, FIN | TEXT, text, size, key if self.masks else NULL)
    return 0


cdef int _write_compressed(Writer self, int first, const uint8_t* data, Py_ssize_t size) except -1:
    cdef Deflater deflater = self.deflater
    cdef uint8_t key[4]
    cdef Growing output
    if deflater is None:
        # Another thread has called `__init__` while the fragment before was on its way.
        raise LocalProtocolError("this Writer was made anew in the middle of a compressed message")
    # The key first: to get one, other threads may run, which must not write a frame between compressing this one and
    # putting it behind the others.
    if self.masks:
        take_mask_key(key)
    output = borrow_scratch()
    try:
        with cython.critical_section(deflater):
            deflater.deflate_bytes(data, size, first & FIN != 0, &output)
        _put_compressed_frame(self, first, &output, key if self.masks else NULL, deflater)
    finally:
        return_scratch(&output)
    return 0


cdef int _put_compressed_frame(
    Writer self, int first, Growing* output, const uint8_t* key, Deflater deflater
) except -1:
    try:
        return _put_frame(self, first, grown_data(output), output.size, key)
    except BaseException:
        # The peer will not see this output: nothing later may refer to it.
        deflater.drop()
        raise


cdef int _write_uncopied(Writer self, int first, bytes payload) except -1:
    self.tail.size += write_header(_room(self, MAX_HEADER), first, PyBytes_GET_SIZE(payload), 0)
    return _append_chunk(self, payload)


cdef inline int _append_frames(Writer self, bytes frames) except -1:
    cdef Py_ssize_t size = PyBytes_GET_SIZE(frames)
    if size >= LARGE_PAYLOAD:
        return _append_chunk(self, frames)
    memcpy(_room(self, size), PyBytes_AS_STRING(frames), size)
    self.tail.size += size
    return 0


cdef int _append_chunk(Writer self, bytes chunk) except -1:
    """Put `chunk` behind what is there, uncopied."""
    cdef Py_ssize_t size
    if self.chunks is None:
        self.chunks = []
    size = self.tail.size
    if size:
        self.chunks.append(take_grown(&self.tail))
        self.chunks_size += size
    self.chunks.append(chunk)
    self.chunks_size += PyBytes_GET_SIZE(chunk)
    return 0


# Many writers

def write_to_all(writers, message, compress=None):
    """`write_prepared` for each of `writers` but those in the middle of a fragmented message; how many took it."""
    cdef int wanted = BY_DEFAULT if compress is None else bool(compress)
    cdef Py_ssize_t count = 0
    cdef Shared shared = share(message)
    for each in writers:
        count += shared.put(<Writer?>each, wanted)
    return count


cdef Shared share(object message):
    cdef Shared shared = Shared.__new__(Shared)
    shared.message = message
    shared.size = message.size
    shared.known = -1
    return shared


@cython.auto_pickle(False)
cdef class Shared:
    cdef bint put(self, Writer writer, int compress) except -1:
        cdef Deflater deflater
        cdef bint masks
        with cython.critical_section(writer):
            masks = writer.masks
            deflater = writer.deflater if _compresses(writer, self.size, compress) else None
        _prepare_frame(self, 0 if deflater is None else deflater.bits, masks)
        with cython.critical_section(writer):
            return _append_prepared(writer, self.frame, deflater)


cdef int _prepare_frame(Shared self, int bits, bint masks) except -1:
    if masks:
        self.known = -1
        self.frame = _checked(self.message.masked_frame(bits or None, new_mask_key()))
    elif bits != self.known:
        self.frame = _checked(self.message.frame(bits or None))
        self.known = bits
    return 0


cdef bytes _checked(object frame):
    if type(frame) is not bytes:
        raise TypeError("a prepared message gives its frames as bytes")
    return frame


cdef bint _append_prepared(Writer self, bytes frame, Deflater deflater) except -1:
    if self.in_message:
        return False
    _append_frames(self, frame)
    if deflater is not None:
        # The peer's window now holds this message and our compressor's does not.
        with cython.critical_section(deflater):
            deflater.forget()
    return True
