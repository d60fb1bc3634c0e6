"""What the compiled modules share, all of it inline: buffers that come in, and a `bytes` that grows until it is handed
out.

A `Growing` is the final object from its first byte on, so that nothing is copied at the end. Nobody else sees the
object before it is taken, which is what makes writing into it, and moving it, right.
"""

from cpython.object cimport PyObject
from libc.stdint cimport uint8_t

cdef extern from "Python.h":
    Py_ssize_t PY_SSIZE_T_MAX
    PyObject* _new_bytes "PyBytes_FromStringAndSize"(const char* data, Py_ssize_t size) except NULL
    bytes new_bytes "PyBytes_FromStringAndSize"(const char* data, Py_ssize_t size)
    int _resize_bytes "_PyBytes_Resize"(PyObject** store, Py_ssize_t size) except -1
    char* _bytes_data "PyBytes_AS_STRING"(PyObject* store)
    Py_ssize_t _bytes_size "PyBytes_GET_SIZE"(PyObject* store)
    void _release "Py_CLEAR"(PyObject* store)
    # Clips what does not fit, where a conversion to a C integer would raise OverflowError.
    Py_ssize_t clipped "PyNumber_AsSsize_t"(object number, PyObject* overflow) except? -1

cdef extern from *:
    """
    /* Puts `store` there and returns what was there, in one step even where threads run side by side. */
    #ifdef Py_GIL_DISABLED
    #define wscore_exchange(place, store) ((PyObject *)_Py_atomic_exchange_ptr((place), (store)))
    #else
    static inline PyObject *wscore_exchange(PyObject **place, PyObject *store) {
        PyObject *found = *place;
        *place = store;
        return found;
    }
    #endif
    """
    PyObject* exchange "wscore_exchange"(PyObject** place, PyObject* store) noexcept

cdef extern from *:
    """
    /* As PyObject_GetBuffer, but what cannot be taken is a TypeError, as what is no buffer at all. */
    static inline int wscore_get_buffer(PyObject *object, Py_buffer *view, int flags) {
        if (PyObject_GetBuffer(object, view, flags) == 0)
            return 0;
        if (PyErr_ExceptionMatches(PyExc_BufferError))
            PyErr_SetString(PyExc_TypeError, flags & PyBUF_WRITABLE ? "the buffer must be writable and C-contiguous"
                                                                    : "the buffer must be C-contiguous");
        return -1;
    }
    """
    int get_buffer "wscore_get_buffer"(object buffer, Py_buffer* view, int flags) except -1

cdef struct Growing:
    PyObject* store  # a bytes object of the capacity, or NULL
    Py_ssize_t size  # how much of it is filled

cdef inline uint8_t* grown_data(Growing* buffer) noexcept:
    """What is filled; NULL if nothing ever was."""
    return NULL if buffer.store == NULL else <uint8_t*>_bytes_data(buffer.store)

cdef inline Py_ssize_t grown_capacity(Growing* buffer) noexcept:
    return 0 if buffer.store == NULL else _bytes_size(buffer.store)

cdef inline void discard_grown(Growing* buffer) noexcept:
    buffer.size = 0
    _release(buffer.store)

cdef inline int set_capacity(Growing* buffer, Py_ssize_t capacity) except -1:
    """Move the contents, if need be. If there is no memory for it, they are gone, as is the object."""
    if buffer.store == NULL:
        buffer.store = _new_bytes(NULL, capacity)
        return 0
    try:
        _resize_bytes(&buffer.store, capacity)
    except MemoryError:
        buffer.size = 0
        raise
    return 0

cdef inline uint8_t* reserve(Growing* buffer, Py_ssize_t more, Py_ssize_t ahead) except NULL:
    """Where the next `more` bytes go; if that needs new memory, take `ahead` bytes beyond them."""
    cdef Py_ssize_t room = PY_SSIZE_T_MAX - buffer.size - 64  # the object's own header needs some
    if more > room:
        raise MemoryError
    if buffer.store == NULL or more > _bytes_size(buffer.store) - buffer.size:
        set_capacity(buffer, buffer.size + more + min(ahead, room - more))
    return <uint8_t*>_bytes_data(buffer.store) + buffer.size

cdef inline bytes take_grown(Growing* buffer):
    """Hand the object out, in its final size, and begin anew."""
    if buffer.store == NULL:
        return b""
    if buffer.size == 1:
        # Of these the interpreter has each once.
        taken = new_bytes(_bytes_data(buffer.store), 1)
        discard_grown(buffer)
        return taken
    if _bytes_size(buffer.store) != buffer.size:
        set_capacity(buffer, buffer.size)
    taken = <bytes>buffer.store
    discard_grown(buffer)
    return taken
