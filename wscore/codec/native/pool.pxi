# What deflaters and inflaters share, as a part of deflate.pyx.

@cython.no_gc
@cython.auto_pickle(False)
cdef class DeflatePool:
    """Compressors that many `Deflater`s share: at most `size` at a time, the least recently used is dropped first.

    Its deflaters may be used by several threads; one pool per thread or event loop is faster.
    """

    def __cinit__(self):
        self.lock = new_lock()
        if self.lock == NULL:
            raise MemoryError
        # Even if `__init__` never runs there is room for a compressor.
        self.size = 256

    def __init__(self, size=256):
        cdef Py_ssize_t most = clipped(size, NULL)
        if most < 1:
            raise ValueError("a pool holds at least one compressor")
        acquire(self.lock)
        self.size = most
        while self.held > most:  # if it is called again
            _evict_oldest(self)
        release(self.lock)

    def __len__(self):
        acquire(self.lock)
        held = self.held
        release(self.lock)
        return held

    def __dealloc__(self):
        # Deflaters keep their pool alive: no stream is on the list any more.
        end_chain(self.idle_compressors)
        end_chain(self.idle_inflaters)
        if self.lock != NULL:
            free_lock(self.lock)


# The list of contexts, for those who have the pool's lock

cdef void _enlist(DeflatePool pool, Stream* stream, void** holder) noexcept:
    """Keep `stream`, to which `*holder` refers, for its next message, at the cost of whoever was idle for longest."""
    holder[0] = stream
    stream.holder = holder
    stream.older = <Stream*>pool.newest
    stream.newer = NULL
    if pool.newest == NULL:
        pool.oldest = stream
    else:
        stream.older.newer = stream
    pool.newest = stream
    pool.held += 1
    if pool.held > pool.size:
        _evict_oldest(pool)
    if pool.held == pool.size:
        end_chain(pool.idle_compressors)
        pool.idle_compressors = NULL


cdef void _delist(DeflatePool pool, Stream* stream) noexcept:
    stream.holder[0] = NULL
    if stream.older == NULL:
        pool.oldest = stream.newer
    else:
        stream.older.newer = stream.newer
    if stream.newer == NULL:
        pool.newest = stream.older
    else:
        stream.newer.older = stream.older
    pool.held -= 1


cdef void _evict_oldest(DeflatePool pool) noexcept:
    cdef Stream* stream = <Stream*>pool.oldest
    _delist(pool, stream)
    make_idle(&pool.idle_compressors, stream, pool.size - pool.held)
