"""Each kernel, by name, in a loop in C: on the same buffers as memcpy, CPython's own decoder and encoder, and simdutf.

Buffers lie at random alignments in one arena, as payloads do behind their headers; a call works through all of them
`repeats` times, so that calling from Python costs nothing that counts.
"""

import random

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from cpython.mem cimport PyMem_Free, PyMem_Malloc
from libc.stddef cimport size_t
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy

from wscore.codec.native.kernels cimport WSCORE_SLACK, Kernels, wscore_kernels_at, wscore_kernels_named
from wscore.codec.native.text cimport decode_with, encode_into, utf8_size

cdef extern from "simdutf_bench.h":
    int HAS_SIMDUTF
    int simdutf_bench_validate(const char* data, size_t size) nogil
    const char* simdutf_bench_version()

cdef extern from *:
    """
    #include "kernels.h"
    static inline size_t scan_with(const struct kernels *kernels, const uint8_t *source, size_t size) {
        return kernels->utf8_scan(source, size);
    }
    """
    size_t scan_with(const Kernels* kernels, const uint8_t* source, size_t size)

cdef extern from "Python.h":
    str PyUnicode_New(Py_ssize_t size, Py_UCS4 widest)
    void* PyUnicode_DATA(object text)
    bint PyUnicode_IS_COMPACT_ASCII(object text)
    str PyUnicode_DecodeUTF8(const char* data, Py_ssize_t size, const char* errors)
    bytes PyUnicode_AsUTF8String(object text)


cdef const Kernels* _named(str name) except NULL:
    cdef bytes encoded = name.encode()
    cdef const Kernels* found = wscore_kernels_named(PyBytes_AS_STRING(encoded))
    if found == NULL:
        raise ValueError(f"no kernel called {name}")
    return found


def names():
    """The variants that this processor has, the preferred one first."""
    found = []
    while wscore_kernels_at(len(found)) != NULL:
        found.append(wscore_kernels_at(len(found)).name.decode())
    return found


def simdutf_version():
    """None if this was built without it."""
    return simdutf_bench_version().decode() if HAS_SIMDUTF else None


cdef class Arena:
    """Copies of `items`, each at a random alignment, and as much room to write results to."""

    cdef uint8_t* source
    cdef uint8_t* target
    cdef size_t* starts
    cdef size_t* sizes
    cdef uint32_t* keys
    cdef readonly Py_ssize_t count

    def __cinit__(self, list items):
        cdef Py_ssize_t i
        cdef size_t end = 0
        generator = random.Random(len(items))
        self.count = len(items)
        self.starts = <size_t*>PyMem_Malloc(self.count * sizeof(size_t))
        self.sizes = <size_t*>PyMem_Malloc(self.count * sizeof(size_t))
        self.keys = <uint32_t*>PyMem_Malloc(self.count * sizeof(uint32_t))
        for i in range(self.count):
            self.starts[i] = end + <size_t>generator.randrange(64)
            self.sizes[i] = len(items[i])
            self.keys[i] = <uint32_t>generator.getrandbits(32)
            end = self.starts[i] + self.sizes[i] + 64
        self.source = <uint8_t*>PyMem_Malloc(end)
        self.target = <uint8_t*>PyMem_Malloc(end)
        for i in range(self.count):
            memcpy(self.source + self.starts[i], PyBytes_AS_STRING(items[i]), self.sizes[i])
            memcpy(self.target + self.starts[i], PyBytes_AS_STRING(items[i]), self.sizes[i])

    def __dealloc__(self):
        PyMem_Free(self.source)
        PyMem_Free(self.target)
        PyMem_Free(self.starts)
        PyMem_Free(self.sizes)
        PyMem_Free(self.keys)

    def last(self):
        """What was written last."""
        cdef Py_ssize_t i = self.count - 1
        return PyBytes_FromStringAndSize(<char*>self.target + self.starts[i], <Py_ssize_t>self.sizes[i])

    def last_masked(self):
        """The last item, masked with its key, one byte after the other."""
        cdef Py_ssize_t i = self.count - 1
        cdef const uint8_t* key = <const uint8_t*>&self.keys[i]
        return bytes(self.source[self.starts[i] + j] ^ key[j & 3] for j in range(self.sizes[i]))


def copy(Arena arena, Py_ssize_t repeats):
    cdef Py_ssize_t i
    for _ in range(repeats):
        for i in range(arena.count):
            memcpy(arena.target + arena.starts[i], arena.source + arena.starts[i], arena.sizes[i])


def mask(Arena arena, str name, Py_ssize_t repeats):
    """Mask into other memory."""
    cdef const Kernels* kernel = _named(name)
    cdef Py_ssize_t i
    for _ in range(repeats):
        for i in range(arena.count):
            kernel.mask(arena.target + arena.starts[i], arena.source + arena.starts[i], arena.sizes[i], arena.keys[i])


def mask_inplace(Arena arena, str name, Py_ssize_t repeats):
    """An odd number of times, so that the end is masked."""
    cdef const Kernels* kernel = _named(name)
    cdef Py_ssize_t i
    cdef uint8_t* data
    for _ in range(repeats):
        for i in range(arena.count):
            data = arena.target + arena.starts[i]
            kernel.mask(data, data, arena.sizes[i], arena.keys[i])


def scan(Arena arena, str name, Py_ssize_t repeats):
    """Validate; returns whether all was valid and complete."""
    cdef const Kernels* kernel = _named(name)
    cdef Py_ssize_t i
    cdef bint valid = True
    for _ in range(repeats):
        for i in range(arena.count):
            valid &= scan_with(kernel, arena.source + arena.starts[i], arena.sizes[i]) == arena.sizes[i]
    return valid


def scan_simdutf(Arena arena, Py_ssize_t repeats):
    cdef Py_ssize_t i
    cdef bint valid = True
    for _ in range(repeats):
        for i in range(arena.count):
            valid &= simdutf_bench_validate(<char*>arena.source + arena.starts[i], arena.sizes[i])
    return valid


def decode(Arena arena, str name, Py_ssize_t repeats):
    """UTF-8 to `str`, by the codec's own code; returns the last."""
    cdef const Kernels* kernel = _named(name)
    cdef Py_ssize_t i
    cdef str text = ""
    for _ in range(repeats):
        for i in range(arena.count):
            text = decode_with(kernel, arena.source + arena.starts[i], <Py_ssize_t>arena.sizes[i])
    return text


def decode_cpython(Arena arena, Py_ssize_t repeats):
    cdef Py_ssize_t i
    cdef str text = ""
    for _ in range(repeats):
        for i in range(arena.count):
            text = PyUnicode_DecodeUTF8(<char*>arena.source + arena.starts[i], <Py_ssize_t>arena.sizes[i], NULL)
    return text


cdef inline Py_ssize_t _encode(const Kernels* kernel, uint8_t* target, str text) except -1:
    """As the Writer does it: count, then write into memory that is there."""
    cdef Py_ssize_t size = utf8_size(kernel, text)
    if PyUnicode_IS_COMPACT_ASCII(text):
        memcpy(target, PyUnicode_DATA(text), size)
    else:
        encode_into(kernel, target, text)
    return size


cdef class Texts:
    """Strings, and memory that is large enough for the largest of them."""

    cdef list items
    cdef bytes target
    cdef Py_ssize_t size

    def __init__(self, list items):
        self.items = items
        self.target = PyBytes_FromStringAndSize(NULL, 4 * max(map(len, items)) + WSCORE_SLACK)

    def last(self):
        """What was written last."""
        return self.target[:self.size]


def encode(Texts texts, str name, Py_ssize_t repeats):
    """`str` to UTF-8 in memory that is there."""
    cdef const Kernels* kernel = _named(name)
    cdef uint8_t* target = <uint8_t*>PyBytes_AS_STRING(texts.target)
    for _ in range(repeats):
        for text in texts.items:
            texts.size = _encode(kernel, target, <str>text)


def encode_cpython(Texts texts, Py_ssize_t repeats):
    """CPython can only make a new object."""
    for _ in range(repeats):
        for text in texts.items:
            texts.target = PyUnicode_AsUTF8String(text)
    texts.size = len(texts.target)


# What nobody can beat who makes the same objects

def copy_out(bytes data, Py_ssize_t header, Py_ssize_t size):
    """The payloads of frames of `size` bytes behind headers of `header`, as new `bytes`, by memcpy alone."""
    cdef Py_ssize_t at = header
    cdef const char* source = PyBytes_AS_STRING(data)
    cdef list found = []
    while at < len(data):
        found.append(PyBytes_FromStringAndSize(source + at, size))
        at += size + header
    return found


def bare_receive(bytes data, bint text):
    """Small masked frames to messages without a single check: whatever comes is taken for a whole frame."""
    cdef const uint8_t* at = <const uint8_t*>PyBytes_AS_STRING(data)
    cdef const uint8_t* end = at + len(data)
    cdef list found = []
    while at < end:
        if text:
            message = PyUnicode_New(at[1] & 0x7f, 127)
            _bare_unmask(<uint8_t*>PyUnicode_DATA(message), at)
        else:
            message = PyBytes_FromStringAndSize(NULL, at[1] & 0x7f)
            _bare_unmask(<uint8_t*>PyBytes_AS_STRING(message), at)
        found.append(message)
        at += 6 + (at[1] & 0x7f)
    return found


cdef inline void _bare_unmask(uint8_t* target, const uint8_t* frame) noexcept:
    cdef Py_ssize_t size = frame[1] & 0x7f
    cdef Py_ssize_t i = 0
    cdef uint32_t key
    cdef uint64_t keys, word
    memcpy(&key, frame + 2, 4)
    keys = <uint64_t>key << 32 | key
    while i + 8 <= size:
        memcpy(&word, frame + 6 + i, 8)
        word ^= keys
        memcpy(target + i, &word, 8)
        i += 8
    while i < size:
        target[i] = frame[6 + i] ^ frame[2 + (i & 3)]
        i += 1
