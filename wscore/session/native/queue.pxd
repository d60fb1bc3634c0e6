"""Types of `session.queue`; and, for a pump that is compiled, what it does for each message, without a call."""

cpdef Py_ssize_t size_of(object message) except -1
cpdef Py_ssize_t weight_of(object item) except -1

cdef class ReceiveQueue:
    cdef readonly Py_ssize_t size
    cdef readonly Py_ssize_t _limit
    cdef readonly Py_ssize_t _start
    cdef readonly list _items

    cpdef put(self, object item)
    cpdef put_all(self, list items, Py_ssize_t size)
    cpdef first(self)
    cpdef get(self)
    cpdef drop_first(self, Py_ssize_t size)
    cpdef clear(self)


cdef inline int put_quickly(ReceiveQueue queue, list items, Py_ssize_t size) except -1:
    """As `put_all`."""
    if queue._items is None:
        queue._items = items
        queue.size = size
    else:
        queue.put_all(items, size)
    return 0


cdef inline object first_of(ReceiveQueue queue):
    """As `first`, of a queue that is not empty."""
    return queue._items[queue._start]


cdef inline bint has_one(ReceiveQueue queue) except -1:
    """Whether the first is the last, so that its weight is `size`."""
    return queue._start + 1 == len(queue._items)


cdef inline int drop_quickly(ReceiveQueue queue, Py_ssize_t size) except -1:
    """As `drop_first`."""
    if has_one(queue):
        queue._items = None
        queue._start = queue.size = 0
    else:
        queue._items[queue._start] = None
        queue._start += 1
        queue.size -= size
    return 0
