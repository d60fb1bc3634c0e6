# cython: freethreading_compatible=True
"""From the bytes of one direction to messages (RFC 6455 sections 5 and 8.1, RFC 7692 section 7.2.2), compiled.

Decides whether a frame is well formed, where a message ends, and whether it keeps to the limits. Control frames are
handed up: what they mean is the connection's affair. Knows nothing of states, sending, or time.

The order of checks, in both twins. With the first two bytes of a header: reserved bits, opcode, mask bit, control
frames whole and short, fragments in order. With the whole header: length in the fewest bytes, its top bit, number
of fragments, size of the message. With the payload, as it comes: DEFLATE, size after inflating, UTF-8.

Those who answer Pings and know which Pongs they wait for can have both passed over (`expect_pongs`), so that a flood of
them makes no object and costs less than as many empty messages; those for whom no message is can have the payloads
passed over (`discard_messages`), neither unmasked nor inflated.

What is fast: a message in one frame that has come whole takes `_read_whole`, which creates nothing but the message and
looks up no name. Everything else takes `_read_part`, which knows all the rules. A broken rule is not an exception
in here: `_fail` notes it, and the loop of `read_bytes` ends.

Threads: every public method holds the reader's critical section. Another thread may come in wherever that is suspended,
where Python code or another lock may run, as in `out.append`; so no pointer into the message lives across such a place.
Nor is what arrives trusted to stay as it is: what is looked at twice is first copied, `unmask_copy` being a copy.
"""

cimport cython
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from cpython.mem cimport PyMem_Free, PyMem_Malloc
from libc.stdint cimport INT64_MAX, int64_t, uint8_t, uint64_t
from libc.string cimport memcpy

from wscore.codec import errors
from wscore.codec.messages import PIECE_WEIGHT as _PIECE_WEIGHT
from wscore.codec.messages import PINGS_KEPT as _PINGS_KEPT
from wscore.codec.messages import Piece, Stop
from wscore.codec.opcodes import SERVER, Role

from wscore.codec.native.buffers cimport (
    PY_SSIZE_T_MAX, Growing, clipped, discard_grown, get_buffer, grown_data, reserve, take_grown,
)
from wscore.codec.native.deflate cimport (
    INFLATE_INVALID, INFLATE_TOO_MANY_FINAL_BLOCKS, INFLATED, Inflater,
)
from wscore.codec.native.frames cimport (
    BINARY, CLOSE, CONTINUATION, CONTROL_BIT, FIN, LENGTH_BITS, MASK_BIT, MAX_CONTROL_PAYLOAD, MAX_HEADER, NO_RULE,
    OPCODE_BITS, PING, PONG, RSV1, TEXT, Header, parse_header, read_once,
)
from wscore.codec.native.kernels cimport (
    UTF8_INVALID, Kernels, kernels_in_use, utf8_feed, utf8_incomplete,
)
from wscore.codec.native.masking cimport key_words, turned_words, unmask_bytes, unmask_copy, xor_bytes
from wscore.codec.native.text cimport decode_with, unmask_text

__all__ = ["Reader"]

cdef enum:
    # Inflating for pieces goes in steps: 256 bytes become at most 264 KiB, since DEFLATE expands by 1,032 at most.
    INFLATE_STEP = 256
    INFLATE_STEP_OUTPUT = 1 << 19
    PIECE_SIZE = 1 << 16
    # Compressed payload up to this size is unmasked on the stack.
    SMALL_PAYLOAD = 1 << 13
    # Room for a message that is still coming: at least this, if as much was declared.
    MIN_ROOM = 1 << 14
    # A Ping that waits to be answered, with its size before it.
    PING_PLACE = 1 + MAX_CONTROL_PAYLOAD

# What the loop needs of other modules, looked up once.
cdef const Kernels* kernels = kernels_in_use()
cdef Py_ssize_t PIECE_WEIGHT = _PIECE_WEIGHT
cdef Py_ssize_t PINGS_KEPT = _PINGS_KEPT
cdef tuple STOPS = tuple(Stop)
cdef tuple DEFECTS = (  # by number of the broken rule
    None, errors.RESERVED_BITS, errors.COMPRESSED_CONTINUATION, errors.UNKNOWN_OPCODE, errors.MASK_MISSING,
    errors.MASK_UNEXPECTED, errors.CONTROL_FRAGMENTED, errors.CONTROL_TOO_LONG, errors.MESSAGE_INTERRUPTED,
    errors.CONTINUATION_WITHOUT_START, errors.LENGTH_NOT_MINIMAL, errors.LENGTH_TOP_BIT,
)
cdef object TEXT_NOT_UTF8 = errors.TEXT_NOT_UTF8
cdef object MESSAGE_TOO_BIG = errors.MESSAGE_TOO_BIG
cdef object TOO_MANY_FRAGMENTS = errors.TOO_MANY_FRAGMENTS
cdef object DEFLATE_INVALID = errors.DEFLATE_INVALID
cdef object TOO_MANY_FINAL_BLOCKS = errors.TOO_MANY_FINAL_BLOCKS


cdef int64_t _compressed_limit(int64_t max_message_size) noexcept:
    """How many compressed bytes a message may have: zlib with the least memory expands random data by a
    twenty-fifth.
    """
    if max_message_size > INT64_MAX // 2:
        return INT64_MAX
    return max_message_size + (max_message_size >> 3) + 64


@cython.no_gc
@cython.auto_pickle(False)
cdef class Reader:
    """Turns bytes into messages: `str` for text, `bytes` for binary, or `Piece`s of them as they come.

    `role` is our own: a server wants masked frames, a client unmasked ones. `max_message_size` is in bytes, after
    inflating, text as UTF-8; `max_fragments` counts empty ones. With `pieces` neither binds, since nothing is kept.
    `inflater` is given if permessage-deflate was agreed.

    With `frames`, for those who show frames to their callers, a message that is there whole, in one frame, may be a
    `str` or `bytes`; of all others come `Piece`s, one at least for each frame, be it empty. Both limits bind, and
    `pieces` has no effect.

    After `read`, `stop` says why it returned; `control` is the opcode and payload of the control frame at which it
    stopped, `defect` the broken rule after which it reads no more, and `spent` what the call took of its budget.
    `controls` counts the Pings and Pongs of all calls.
    """

    def __cinit__(self):
        # Even if `__init__` never runs it stands between frames; its limits are 0 then.
        _forget_everything(self)

    def __init__(
        self,
        role: Role,
        *,
        max_message_size=1 << 20,
        max_fragments=4096,
        bint pieces=False,
        bint frames=False,
        Inflater inflater=None,
    ):
        cdef int64_t most_bytes = clipped(max_message_size, NULL)
        cdef int64_t most_fragments = clipped(max_fragments, NULL)
        with cython.critical_section(self):
            self.mask_bit = MASK_BIT if role is SERVER else 0
            self.max_message_size = most_bytes
            self.max_fragments = most_fragments
            self.pieces = pieces and not frames
            self.frames = frames
            self.inflater = inflater
            _forget_everything(self)

    def __dealloc__(self):
        discard_grown(&self.message)
        discard_grown(&self.control_payload)

    @property
    @cython.critical_section
    def stop(self):
        """Why the last `read` returned."""
        return STOPS[self.stop_code]

    @property
    @cython.critical_section
    def kept(self):
        """How many bytes are kept of a message that is not complete; of one that comes in pieces, none."""
        return 0 if self.pieces or self.frames else self.message.size

    @property
    @cython.critical_section
    def pings_size(self):
        """How large the frames of the Pongs are that `take_pings` asks for, in our role; 0 for none."""
        cdef Py_ssize_t size = self.pings_waiting * (2 if self.mask_bit else 6)
        cdef Py_ssize_t number
        for number in range(self.pings_waiting):
            size += <uint8_t>PyBytes_AS_STRING(self.pings)[number * PING_PLACE]
        return size

    @cython.critical_section
    def expect_pongs(self, payloads not None):
        """From now on, let Pings and Pongs be no reason to stop, but for Pongs that have one of `payloads`, a container
        that is asked each time. The Pings are kept for `take_pings`, 16 of them at most.
        """
        self.awaited = payloads

    @cython.critical_section
    def take_pings(self):
        """The payloads of the last Pings that came since the last call, first come first: Pongs are due with these (RFC
        6455 section 5.5.3: only the most recent Ping need be answered).
        """
        # Nobody else sees them from here on.
        cdef bytes pings = self.pings
        cdef Py_ssize_t count = self.pings_waiting
        cdef Py_ssize_t first = self.next_ping - count
        cdef const uint8_t* place
        cdef list taken = []
        self.pings = None
        self.pings_waiting = self.next_ping = 0
        if self.control_payload.size == 0:
            discard_grown(&self.control_payload)
        while count:
            place = <const uint8_t*>PyBytes_AS_STRING(pings) + (first + PINGS_KEPT) % PINGS_KEPT * PING_PLACE
            taken.append(place[1:1 + place[0]])
            first += 1
            count -= 1
        return taken

    @cython.critical_section
    def discard_messages(self):
        """From now on, pass the payloads of messages over, and hand none out: they are for nobody. What is kept of one
        that has begun is dropped. The rules for frames hold, limits and UTF-8 do not.
        """
        self.discards = True
        self.pieces = True  # of which nothing is kept either
        discard_grown(&self.message)

    def read(self, data, list out not None, budget=None, Py_ssize_t offset=0):
        """Read `data` from `offset` on, append messages to `out`, return the offset of the first byte not read.

        Stops after the message or control frame that uses up `budget` (of which each takes its `weight`), after a
        control frame, and at a defect; else all of `data` is read, what is incomplete is kept inside, and `stop` is
        NEED_DATA. `data` is never written to and not kept.
        """
        cdef Py_buffer view
        cdef Py_ssize_t most = PY_SSIZE_T_MAX if budget is None else clipped(budget, NULL)
        if offset < 0:
            raise ValueError("offset must not be negative")
        get_buffer(data, &view, PyBUF_SIMPLE)
        try:
            with cython.critical_section(self):
                if offset >= view.len:
                    self.read_bytes(NULL, 0, out, most)
                    return offset if self.defect is None else view.len
                return offset + self.read_bytes(<const uint8_t*>view.buf + offset, view.len - offset, out, most)
        finally:
            PyBuffer_Release(&view)

    cdef Py_ssize_t read_bytes(self, const uint8_t* data, Py_ssize_t size, list out, Py_ssize_t budget) except -1:
        self.spent = self.spent_on_frames = 0
        if self.stop_code == STOP_DEFECT:
            return size
        try:
            return _read_frames(self, data, size, out, budget)
        except BaseException:
            # No memory. Where it went on, a message would lack its middle: it reads no more.
            self.stop_code = STOP_DEFECT
            raise

    cdef Py_ssize_t read_messages(
        self, uint8_t* data, Py_ssize_t size, Sink sink, void* context, Py_ssize_t budget
    ) except -1:
        if self.pieces or self.frames:
            raise ValueError("a reader of pieces has no whole messages for a sink")
        self.sink = sink
        self.sink_context = context
        try:
            return self.read_bytes(data, size, None, budget)
        finally:
            self.sink = NULL


cdef Py_ssize_t _read_frames(
    Reader self, const uint8_t* data, Py_ssize_t size, list out, Py_ssize_t budget
) except -1:
    cdef Py_ssize_t at = 0
    cdef Py_ssize_t taken
    self.stop_code = STOP_NEED_DATA
    while at < size:
        if self.spent >= budget:
            self.stop_code = STOP_BUDGET
            break
        taken = _read_whole(self, data + at, size - at, out)
        if taken == 0:
            taken = _read_part(self, data + at, size - at, out)
        if self.stop_code == STOP_DEFECT:
            return size
        at += taken
        if self.stop_code == STOP_CONTROL:
            break
    return at


# The fast way

cdef Py_ssize_t _read_whole(Reader self, const uint8_t* data, Py_ssize_t size, list out) except -1:
    """Read a message if it is there from its first byte to its last, in one frame, and breaks no rule; else return 0.
    """
    cdef Py_ssize_t length
    cdef Py_ssize_t start = 2
    cdef uint64_t words = 0
    cdef int first, second
    if self.opcode >= 0 or self.in_message or self.header_size or self.pieces or size < 2:
        return 0
    first = read_once(data, 0)
    second = read_once(data, 1)
    if first != (FIN | BINARY) and first != (FIN | TEXT) or second & MASK_BIT != self.mask_bit:
        return 0
    length = second & LENGTH_BITS
    if length >= 126:
        if length == 127 or size < 4:
            return 0
        length = <Py_ssize_t>read_once(data, 2) << 8 | read_once(data, 3)
        start = 4
        if length < 126:
            return 0
    if self.mask_bit:
        start += 4
    if size - start < length or length > self.max_message_size or self.max_fragments < 1:
        return 0
    if self.mask_bit:
        words = key_words(data + start - 4, 0)
    _deliver(self, first == (FIN | TEXT), data + start, length, words, out)
    return start + length


cdef inline int _deliver(
    Reader self, bint text, const uint8_t* source, Py_ssize_t size, uint64_t words, list out
) except -1:
    """Deliver a whole message, unmasked on the way into its object."""
    if self.sink != NULL:
        return _pour(self, text, <uint8_t*>source, size, words)
    cdef object message = unmask_text(kernels, source, size, words) if text else unmask_bytes(source, size, words)
    self.spent += weight(size)
    if message is None:
        return _fail(self, TEXT_NOT_UTF8)
    out.append(message)
    return 0


cdef int _pour(Reader self, bint text, uint8_t* data, Py_ssize_t size, uint64_t words) except -1:
    """Deliver a whole message to the sink, unmasked where it lies."""
    cdef bint is_ascii = xor_bytes(data, data, size, words)
    self.spent += weight(size)
    if text and not is_ascii and utf8_feed(0, data, size) != 0:
        return _fail(self, TEXT_NOT_UTF8)
    self.sink(self.sink_context, TEXT if text else BINARY, data, size)
    return 0


# Payloads

cdef Py_ssize_t _read_payload(Reader self, const uint8_t* data, Py_ssize_t size, list out) except -1:
    """Read the next `size` bytes of the payload, or fewer, and return how many."""
    if self.opcode & CONTROL_BIT:
        _read_control(self, data, size)
    elif self.discards:
        _discard(self, size)
    elif self.pieces or self.frames:
        size = _read_piece(self, data, size, out)
    elif self.compressed:
        _read_compressed(self, data, size, out)
    else:
        _read_plain(self, data, size, out)
    if self.left == 0:
        self.opcode = -1
    return size


cdef void _take(Reader self, uint8_t* target, const uint8_t* source, Py_ssize_t size) noexcept:
    """Unmask the next bytes of the frame's payload."""
    unmask_copy(target, source, size, self.words)
    if size & 3 and self.words:
        self.words = turned_words(self.words, <size_t>size)
    # Another thread may have read on where this one had to wait: what is left is never less than nothing.
    self.left -= min(self.left, <int64_t>size)


cdef int _append(Reader self, Growing* target, const uint8_t* source, Py_ssize_t size, Py_ssize_t ahead) except -1:
    _take(self, reserve(target, size, ahead), source, size)
    target.size += size
    return 0


cdef void _discard(Reader self, Py_ssize_t size) noexcept:
    self.left -= min(self.left, <int64_t>size)
    if self.left == 0 and self.fin:
        _end_message(self)


cdef int _read_control(Reader self, const uint8_t* data, Py_ssize_t size) except -1:
    cdef object payload
    if self.awaited is not None and self.opcode == PONG and not self.awaited:
        self.left -= min(self.left, <int64_t>size)
        discard_grown(&self.control_payload)
        return 0
    _append(self, &self.control_payload, data, size, <Py_ssize_t>self.left - size)
    if self.left > 0:
        return 0
    if self.awaited is not None and self.opcode == PING:
        return _keep_ping(self)
    payload = take_grown(&self.control_payload)
    if self.awaited is None or self.opcode == CLOSE or payload in self.awaited:
        self.control = (self.opcode, payload)
        self.stop_code = STOP_CONTROL
    return 0


cdef int _keep_ping(Reader self) except -1:
    """In the place of the one that came longest ago, if there are too many."""
    cdef uint8_t* place
    if self.pings is None:
        self.pings = PyBytes_FromStringAndSize(NULL, PINGS_KEPT * PING_PLACE)
    place = <uint8_t*>PyBytes_AS_STRING(self.pings) + self.next_ping * PING_PLACE
    place[0] = <uint8_t>self.control_payload.size
    memcpy(place + 1, grown_data(&self.control_payload), self.control_payload.size)
    self.next_ping = <uint8_t>((self.next_ping + 1) % PINGS_KEPT)
    self.pings_waiting = <uint8_t>min(self.pings_waiting + 1, PINGS_KEPT)
    self.control_payload.size = 0
    return 0


cdef int _read_plain(Reader self, const uint8_t* data, Py_ssize_t size, list out) except -1:
    cdef bint ends = self.fin and size == self.left
    cdef Py_ssize_t known = self.message.size
    if known == 0 and ends:
        self.left = 0
        _deliver(self, self.text, data, size, self.words, out)
        return _end_message(self)
    if size:
        _append(self, &self.message, data, size, _room_ahead(self, size))
    return _continue_message(self, known, ends, out)


cdef Py_ssize_t _room_ahead(Reader self, Py_ssize_t size) noexcept:
    """How much room to take beyond the next `size` bytes: at most as much again as has come, or 16 KiB, never more
    than declared. But a frame that is not the last one declares nothing about the next: half as much again as has
    come then spares us from moving the message with every fragment.
    """
    cdef int64_t come = self.message.size + size
    cdef int64_t ahead = min(max(come, <int64_t>MIN_ROOM), self.left - size)
    if not self.fin:
        ahead = max(ahead, min(come >> 1, self.max_message_size - come))
    return <Py_ssize_t>ahead


cdef int _continue_message(Reader self, Py_ssize_t known, bint ends, list out) except -1:
    """The message has grown from `known` bytes: check what came, and deliver it if that was the end."""
    cdef const uint8_t* data = grown_data(&self.message)
    if self.text:
        self.utf8_state = utf8_feed(self.utf8_state, data + known, self.message.size - known)
        if self.utf8_state == UTF8_INVALID or ends and self.utf8_state != 0:
            return _fail(self, TEXT_NOT_UTF8)
    if not ends:
        return 0
    self.spent += weight(self.message.size)
    if self.sink != NULL:
        self.sink(self.sink_context, TEXT if self.text else BINARY, data, self.message.size)
    elif self.text:
        out.append(decode_with(kernels, data, self.message.size))
    else:
        out.append(take_grown(&self.message))
    return _end_message(self)


# Ends

cdef void _forget_everything(Reader self) noexcept:
    self.stop_code = STOP_NEED_DATA
    self.control = None
    self.defect = None
    self.spent = 0
    self.header_size = 0
    self.opcode = -1
    self.compressed = False
    self.awaited = None
    self.discards = False
    self.controls = self.spent_on_frames = 0
    self.pings = None
    self.pings_waiting = self.next_ping = 0
    discard_grown(&self.control_payload)
    _end_message(self)


cdef int _end_message(Reader self) noexcept:
    self.in_message = False
    discard_grown(&self.message)
    self.utf8_state = 0
    self.first = True
    self.fragments = 0
    self.received = 0
    return 0


cdef int _fail(Reader self, object defect) noexcept:
    """Note the broken rule, after which nothing is read any more. 0, which is False where the caller is asked."""
    self.defect = defect
    self.stop_code = STOP_DEFECT
    _end_message(self)
    return 0


include "headers.pxi"
include "pieces.pxi"
