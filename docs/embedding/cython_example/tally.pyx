# cython: language_level=3
"""A server's side of a WebSocket, in Cython, without Python objects for messages: it counts words, and answers.

Give it bytes with `receive`, and send what it returns. `Reader` calls `on_message` with each message, by pointer and
length, where it lies in our buffer; `Writer` frames the answer from our memory.
"""

from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from libc.stdint cimport uint8_t
from libc.stdio cimport snprintf
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy

from wscore.codec import SERVER

from wscore.codec.native.reader cimport STOP_CONTROL, STOP_DEFECT, Reader
from wscore.codec.native.writer cimport Writer

cdef extern from "Python.h":
    Py_ssize_t PY_SSIZE_T_MAX

cdef enum:
    TEXT = 1
    CLOSE = 8
    PING = 9
    PONG = 10


cdef class Tally:
    """Answers each text with the number of its words, and binary messages with their size."""

    cdef Reader reader
    cdef Writer writer
    cdef readonly long long messages
    cdef readonly object defect
    cdef readonly bint closed

    def __init__(self, max_message_size=1 << 20):
        self.reader = Reader(SERVER, max_message_size=max_message_size)
        self.writer = Writer(SERVER)

    def receive(self, data):
        """Take bytes from the network, and return what is to be sent."""
        cdef Py_buffer view
        PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
        # The Reader unmasks where the bytes lie, so they must be ours: a real server has received them into this memory.
        cdef uint8_t* memory = <uint8_t*>malloc(max(view.len, <Py_ssize_t>1))
        try:
            if memory == NULL:
                raise MemoryError
            memcpy(memory, view.buf, view.len)
            read(self, memory, view.len)
        finally:
            free(memory)
            PyBuffer_Release(&view)
        return self.writer.take()


cdef int read(Tally self, uint8_t* data, Py_ssize_t size) except -1:
    cdef Py_ssize_t at = 0
    while not self.closed:
        at += self.reader.read_messages(data + at, size - at, on_message, <void*>self, PY_SSIZE_T_MAX)
        if self.reader.stop_code == STOP_CONTROL:
            on_control(self)
        elif self.reader.stop_code == STOP_DEFECT:
            self.closed = True
            self.defect = self.reader.defect
            self.writer.write_control(CLOSE, int(self.defect.code).to_bytes(2, "big"))
        else:
            break
    return 0


cdef int on_message(void* context, int opcode, const uint8_t* data, Py_ssize_t size) except -1:
    cdef Tally self = <Tally>context
    cdef char answer[32]
    cdef Py_ssize_t number = count_words(data, size) if opcode == TEXT else size
    cdef int length = snprintf(answer, sizeof(answer), "%lld", <long long>number)
    self.messages += 1
    return self.writer.write_bytes(TEXT, <const uint8_t*>answer, length, -1)


cdef int on_control(Tally self) except -1:
    """Pings and the peer's Close frame are ours to answer: `Connection` would do that."""
    opcode, payload = self.reader.control
    if opcode == PING:
        self.writer.write_control(PONG, payload)
    elif opcode == CLOSE:
        self.closed = True
        self.writer.write_control(CLOSE, payload[:2])
    return 0


cdef Py_ssize_t count_words(const uint8_t* data, Py_ssize_t size) noexcept nogil:
    cdef Py_ssize_t words = 0
    cdef Py_ssize_t i
    cdef bint inside = False
    for i in range(size):
        if data[i] == 32:
            inside = False
        elif not inside:
            inside = True
            words += 1
    return words
