cpdef Py_ssize_t size_of(object message) except -1
cpdef Py_ssize_t weight_of(object item) except -1

cdef class ReceiveQueue:
    cdef public Py_ssize_t size
    cdef readonly Py_ssize_t _limit
    cdef readonly object _items

    cpdef put(self, object item)
    cpdef first(self)
    cpdef get(self)
    cpdef clear(self)
