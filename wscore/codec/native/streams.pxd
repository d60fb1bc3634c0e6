"""Streams of zlib, through its C interface, and chains of those that are idle.

A stream without a context is as good as a new one once it is reset, which is much cheaper than making one: a window
and a hash table need not be allocated and cleared.

Chains and lists have a lock where Python has none (PEP 703). It is held for a few pointers at a time and calls nothing
of Python: so waiting for it never suspends the critical sections that the waiting thread is in.
"""

from cpython.mem cimport PyMem_Free, PyMem_Malloc
from libc.string cimport memset

cdef extern from *:
    """
    #include <zlib.h>
    /* Where zlib-ng takes the place of zlib it says so, and what it calls zlib's version is not its own. */
    #ifdef ZLIBNG_VERSION
    #define WSCORE_ZLIB_NG_VERSION ZLIBNG_VERSION
    #else
    #define WSCORE_ZLIB_NG_VERSION NULL
    #endif
    """
    const char* WSCORE_ZLIB_NG_VERSION

cdef extern from *:
    """
    #ifdef Py_GIL_DISABLED
    #include <pythread.h>
    #define wscore_lock_new() ((void *)PyThread_allocate_lock())
    #define wscore_lock_free(lock) PyThread_free_lock((PyThread_type_lock)(lock))
    #define wscore_lock(lock) ((void)PyThread_acquire_lock((PyThread_type_lock)(lock), WAIT_LOCK))
    #define wscore_unlock(lock) PyThread_release_lock((PyThread_type_lock)(lock))
    #else
    #define wscore_lock_new() ((void *)&wscore_is_locked_by_the_gil)
    #define wscore_lock_free(lock) ((void)(lock))
    #define wscore_lock(lock) ((void)(lock))
    #define wscore_unlock(lock) ((void)(lock))
    static const char wscore_is_locked_by_the_gil;
    #endif
    """
    void* new_lock "wscore_lock_new"() noexcept
    void free_lock "wscore_lock_free"(void* lock) noexcept
    void acquire "wscore_lock"(void* lock) noexcept
    void release "wscore_unlock"(void* lock) noexcept

cdef extern from "zlib.h" nogil:
    ctypedef unsigned char Bytef
    ctypedef struct z_stream:
        Bytef* next_in
        unsigned int avail_in
        Bytef* next_out
        unsigned int avail_out
        unsigned long total_in
        int data_type
    int Z_OK, Z_STREAM_END, Z_BUF_ERROR, Z_MEM_ERROR
    int Z_NO_FLUSH, Z_SYNC_FLUSH, Z_DEFLATED, Z_DEFAULT_STRATEGY
    const char* zlibVersion()
    int deflateInit2(z_stream*, int level, int method, int bits, int mem_level, int strategy)
    int deflate(z_stream*, int flush)
    int deflateReset(z_stream*)
    int deflateEnd(z_stream*)
    int inflateInit2(z_stream*, int bits)
    int inflate(z_stream*, int flush)
    int inflateReset(z_stream*)
    int inflateEnd(z_stream*)
    int inflateGetDictionary(z_stream*, Bytef* window, unsigned int* size)
    int inflateSetDictionary(z_stream*, const Bytef* window, unsigned int size)

cdef inline str library_name():
    """The library and its version, such as "zlib 1.2.13" or "zlib-ng 2.3.3"."""
    if WSCORE_ZLIB_NG_VERSION != NULL:
        return f"zlib-ng {WSCORE_ZLIB_NG_VERSION.decode()}"
    return f"zlib {zlibVersion().decode()}"

# A stream and the settings that it was made with. zlib's state points back at it: it must not move.
cdef struct Stream:
    z_stream z
    int bits
    int level
    int mem_level
    Stream* next  # idle streams are chained
    # While it is on a pool's list of contexts: its neighbours, and where the deflater refers to it whose context it is.
    Stream* older
    Stream* newer
    void** holder

cdef enum:
    # How many streams of each kind a pool keeps at most although nobody needs them now.
    MAX_IDLE = 8

cdef inline Stream* new_stream(int bits, int level, int mem_level) except NULL:
    """A compressor; an inflater if `mem_level` is 0."""
    cdef int code
    cdef Stream* stream = <Stream*>PyMem_Malloc(sizeof(Stream))
    if stream == NULL:
        raise MemoryError
    memset(stream, 0, sizeof(Stream))
    stream.bits, stream.level, stream.mem_level = bits, level, mem_level
    if mem_level:
        code = deflateInit2(&stream.z, level, Z_DEFLATED, -bits, mem_level, Z_DEFAULT_STRATEGY)
    else:
        code = inflateInit2(&stream.z, -bits)
    if code == Z_OK:
        return stream
    PyMem_Free(stream)
    if code == Z_MEM_ERROR:
        raise MemoryError
    raise RuntimeError(f"zlib refuses to start: error {code}")

cdef inline bint is_between_blocks(const z_stream* z) noexcept:
    """Whether the inflater stands behind the last bit of a block and of a byte: 128 in zlib's manual, and nothing more.
    """
    return z.data_type & (128 | 63) == 128

cdef inline void end_stream(void* pointer) noexcept:
    cdef Stream* stream = <Stream*>pointer
    if stream.mem_level:
        deflateEnd(&stream.z)
    else:
        inflateEnd(&stream.z)
    PyMem_Free(stream)

cdef inline void end_chain(void* pointer) noexcept:
    cdef Stream* stream = <Stream*>pointer
    while stream != NULL:
        pointer, stream = stream, stream.next
        end_stream(pointer)

cdef inline void make_idle(void** chain, void* pointer, Py_ssize_t limit) noexcept:
    """Keep the stream at the head of `chain`, and end those at its end that are too many."""
    cdef Stream* last = <Stream*>pointer
    limit = min(limit, <Py_ssize_t>MAX_IDLE)
    if limit < 1:
        end_stream(pointer)
        return
    last.next = <Stream*>chain[0]
    chain[0] = pointer
    while last.next != NULL and limit > 1:
        last = last.next
        limit -= 1
    end_chain(last.next)
    last.next = NULL

cdef inline Stream* take_idle(void** chain, int bits, int level, int mem_level) noexcept:
    """Take a stream with these settings off `chain`; NULL if there is none. It has to be reset."""
    cdef Stream* before = NULL
    cdef Stream* stream = <Stream*>chain[0]
    while stream != NULL and (stream.bits != bits or stream.level != level or stream.mem_level != mem_level):
        before = stream
        stream = stream.next
    if stream == NULL:
        return NULL
    if before == NULL:
        chain[0] = stream.next
    else:
        before.next = stream.next
    return stream

cdef inline void reset_stream(Stream* stream) noexcept:
    if stream.mem_level:
        deflateReset(&stream.z)
    else:
        inflateReset(&stream.z)
