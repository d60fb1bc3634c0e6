"""The C face of reading: others call `read_bytes` or `read_messages` on their own buffers, with the GIL held.

Without a GIL (PEP 703) whoever calls them holds `cython.critical_section(reader)`, as every public method does, or is
the only thread that uses the reader; with a sink, the latter.
"""

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from wscore.codec.native.buffers cimport Growing
from wscore.codec.native.deflate cimport Inflater

cdef extern from "<stdbool.h>":
    ctypedef bint flag "bool"

# The values of wscore.codec.messages.Stop.
cdef enum:
    STOP_NEED_DATA = 0
    STOP_CONTROL = 1
    STOP_DEFECT = 2
    STOP_BUDGET = 3

# What `read_messages` calls with each message: of TEXT (1), which is UTF-8, or BINARY (2). `data` is there until it
# returns. It must not use the Reader; after an exception of its own the Reader reads no more.
ctypedef int (*Sink)(void* context, int opcode, const uint8_t* data, Py_ssize_t size) except -1

# As `wscore.codec.weight`.
cdef inline Py_ssize_t weight(Py_ssize_t size) noexcept nogil:
    return size + (48 if size > 1 else 8)

# No budget, for `read_bytes` and `read_messages`, is PY_SSIZE_T_MAX.
cdef class Reader:
    cdef readonly object control
    cdef readonly object defect
    cdef readonly Py_ssize_t spent
    cdef Py_ssize_t spent_on_frames  # so much of it on control frames, and on what is discarded
    cdef readonly int64_t controls
    cdef int stop_code
    cdef readonly flag in_message
    # What it was made for.
    cdef flag pieces
    cdef flag frames
    cdef uint8_t mask_bit  # what the frames of the peer must have in their second byte
    cdef int64_t max_message_size
    cdef int64_t max_fragments
    cdef Inflater inflater
    # The frame that is being read.
    cdef uint8_t header[14]  # the part of a header that has come
    cdef uint8_t header_size
    cdef flag fin
    cdef int opcode  # -1 between frames
    cdef uint64_t words  # the mask key as it meets the next byte of the payload; 0 is no mask
    cdef int64_t left
    cdef Growing control_payload
    # Control frames that are no reason to stop.
    cdef object awaited  # a container of payloads of Pongs; None where every control frame is a reason
    cdef bytes pings  # room for the last, each with its size before it; None without any
    cdef uint8_t pings_waiting  # so many are in there
    cdef uint8_t next_ping  # the place of the next
    cdef flag discards  # messages are for nobody
    # The message that is being read.
    cdef flag text
    cdef flag compressed
    cdef flag first  # no piece of it was delivered yet
    cdef Growing message
    cdef uint32_t utf8_state
    cdef int64_t fragments
    cdef Sink sink  # where messages go in place of a list, during `read_messages`
    cdef void* sink_context
    cdef int64_t received  # payload bytes, as declared by the frames so far; of a compressed one in pieces, inflated

    # Read `size` bytes, append messages to `out`, return how many were read; then `stop_code`, `control`, `defect` and
    # `spent` hold what `read` documents. `data` is neither written to nor kept.
    cdef Py_ssize_t read_bytes(self, const uint8_t* data, Py_ssize_t size, list out, Py_ssize_t budget) except -1

    # As `read_bytes`, but nothing becomes an object: each message goes to `sink`. Frames that are there as a whole are
    # unmasked where they lie: `data` is written to. Not for readers of pieces.
    cdef Py_ssize_t read_messages(
        self, uint8_t* data, Py_ssize_t size, Sink sink, void* context, Py_ssize_t budget
    ) except -1
