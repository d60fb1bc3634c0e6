"""Each kernel, by name, in a loop in C: on the same buffers as memcpy, CPython's own decoder and encoder, and simdutf.

Buffers lie at random alignments in one arena, as payloads do behind their headers; a call works through all of them
`repeats` times, so that calling from Python costs nothing that counts.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from cpython.mem cimport PyMem_Free, PyMem_Malloc
from libc.stddef cimport size_t
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy

import random

cdef extern from "kernels.h":
    struct kernels:
        const char* name
        int (*mask)(uint8_t*, const uint8_t*, size_t, uint32_t)
        size_t (*utf8_scan)(const uint8_t*, size_t)
        void (*utf8_measure)(const uint8_t*, size_t, size_t*, uint8_t*)
        int (*utf8_to_ucs1)(uint8_t*, size_t, const uint8_t*, size_t)
        int (*utf8_to_ucs2)(uint16_t*, size_t, const uint8_t*, size_t)
        int (*utf8_to_ucs4)(uint32_t*, size_t, const uint8_t*, size_t)
        size_t (*utf8_size_ucs1)(const uint8_t*, size_t)
        size_t (*utf8_size_ucs2)(const uint16_t*, size_t)
        size_t (*utf8_size_ucs4)(const uint32_t*, size_t)
        size_t (*ucs1_to_utf8)(uint8_t*, const uint8_t*, size_t)
        size_t (*ucs2_to_utf8)(uint8_t*, const uint16_t*, size_t)
        size_t (*ucs4_to_utf8)(uint8_t*, const uint32_t*, size_t)
    const kernels* wscore_kernels_named(const char* name)
    const kernels* wscore_kernels_at(size_t index)
    int WIDEST_UCS1
    int WIDEST_UCS2
    int WSCORE_SLACK

cdef extern from "simdutf_bench.h":
    int HAS_SIMDUTF
    int simdutf_bench_validate(const char* data, size_t size) nogil
    const char* simdutf_bench_version()

cdef extern from "Python.h":
    str PyUnicode_New(Py_ssize_t size, Py_UCS4 widest)
    void* PyUnicode_DATA(object text)
    int PyUnicode_KIND(object text)
    Py_ssize_t PyUnicode_GET_LENGTH(object text)
    bint PyUnicode_IS_ASCII(object text)
    str PyUnicode_DecodeUTF8(const char* data, Py_ssize_t size, const char* errors)
    bytes PyUnicode_AsUTF8String(object text)


cdef const kernels* _named(str name) except NULL:
    cdef const kernels* found = wscore_kernels_named(name.encode())
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
    cdef const kernels* kernel = _named(name)
    cdef Py_ssize_t i
    for _ in range(repeats):
        for i in range(arena.count):
            kernel.mask(arena.target + arena.starts[i], arena.source + arena.starts[i], arena.sizes[i], arena.keys[i])


def mask_inplace(Arena arena, str name, Py_ssize_t repeats):
    """An odd number of times, so that the end is masked."""
    cdef const kernels* kernel = _named(name)
    cdef Py_ssize_t i
    cdef uint8_t* data
    for _ in range(repeats):
        for i in range(arena.count):
            data = arena.target + arena.starts[i]
            kernel.mask(data, data, arena.sizes[i], arena.keys[i])


def scan(Arena arena, str name, Py_ssize_t repeats):
    """Validate; returns whether all was valid and complete."""
    cdef const kernels* kernel = _named(name)
    cdef Py_ssize_t i
    cdef bint valid = True
    for _ in range(repeats):
        for i in range(arena.count):
            valid &= kernel.utf8_scan(arena.source + arena.starts[i], arena.sizes[i]) == arena.sizes[i]
    return valid


def scan_simdutf(Arena arena, Py_ssize_t repeats):
    cdef Py_ssize_t i
    cdef bint valid = True
    for _ in range(repeats):
        for i in range(arena.count):
            valid &= simdutf_bench_validate(<char*>arena.source + arena.starts[i], arena.sizes[i])
    return valid


cdef inline str _decode(const kernels* kernel, const uint8_t* data, size_t size):
    """As the codec does it: measure, make the object, and transcode into it."""
    cdef size_t chars
    cdef uint8_t widest
    cdef str text
    cdef int valid
    kernel.utf8_measure(data, size, &chars, &widest)
    if widest < 0x80:
        text = PyUnicode_New(<Py_ssize_t>size, 127)
        memcpy(PyUnicode_DATA(text), data, size)
        return text
    if widest < WIDEST_UCS1:
        text = PyUnicode_New(<Py_ssize_t>chars, 0xff)
        valid = kernel.utf8_to_ucs1(<uint8_t*>PyUnicode_DATA(text), chars, data, size)
    elif widest < WIDEST_UCS2:
        text = PyUnicode_New(<Py_ssize_t>chars, 0xffff)
        valid = kernel.utf8_to_ucs2(<uint16_t*>PyUnicode_DATA(text), chars, data, size)
    else:
        text = PyUnicode_New(<Py_ssize_t>chars, 0x10ffff)
        valid = kernel.utf8_to_ucs4(<uint32_t*>PyUnicode_DATA(text), chars, data, size)
    if not valid:
        raise ValueError("not UTF-8")
    return text


def decode(Arena arena, str name, Py_ssize_t repeats):
    """UTF-8 to `str`; returns the last."""
    cdef const kernels* kernel = _named(name)
    cdef Py_ssize_t i
    cdef str text = ""
    for _ in range(repeats):
        for i in range(arena.count):
            text = _decode(kernel, arena.source + arena.starts[i], arena.sizes[i])
    return text


def decode_cpython(Arena arena, Py_ssize_t repeats):
    cdef Py_ssize_t i
    cdef str text = ""
    for _ in range(repeats):
        for i in range(arena.count):
            text = PyUnicode_DecodeUTF8(<char*>arena.source + arena.starts[i], <Py_ssize_t>arena.sizes[i], NULL)
    return text


cdef inline Py_ssize_t _encode(const kernels* kernel, uint8_t* target, size_t room, str text) except -1:
    """As the codec does it: count, then write into memory that is there."""
    cdef size_t chars = <size_t>PyUnicode_GET_LENGTH(text)
    cdef void* data = PyUnicode_DATA(text)
    cdef int kind = PyUnicode_KIND(text)
    cdef size_t size
    if PyUnicode_IS_ASCII(text):
        memcpy(target, data, chars)
        return <Py_ssize_t>chars
    if kind == 1:
        size = kernel.utf8_size_ucs1(<uint8_t*>data, chars)
    elif kind == 2:
        size = kernel.utf8_size_ucs2(<uint16_t*>data, chars)
    else:
        size = kernel.utf8_size_ucs4(<uint32_t*>data, chars)
    if size > room:
        raise ValueError("a lone surrogate")
    if kind == 1:
        return <Py_ssize_t>kernel.ucs1_to_utf8(target, <uint8_t*>data, chars)
    if kind == 2:
        return <Py_ssize_t>kernel.ucs2_to_utf8(target, <uint16_t*>data, chars)
    return <Py_ssize_t>kernel.ucs4_to_utf8(target, <uint32_t*>data, chars)


cdef class Texts:
    """Strings, and memory that is large enough for the largest of them."""

    cdef list items
    cdef bytes target
    cdef size_t room
    cdef Py_ssize_t size

    def __init__(self, list items):
        self.items = items
        self.room = 4 * max(map(len, items)) + WSCORE_SLACK
        self.target = PyBytes_FromStringAndSize(NULL, <Py_ssize_t>self.room)

    def last(self):
        """What was written last."""
        return self.target[:self.size]


def encode(Texts texts, str name, Py_ssize_t repeats):
    """`str` to UTF-8 in memory that is there."""
    cdef const kernels* kernel = _named(name)
    cdef uint8_t* target = <uint8_t*>PyBytes_AS_STRING(texts.target)
    for _ in range(repeats):
        for text in texts.items:
            texts.size = _encode(kernel, target, texts.room, <str>text)


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
