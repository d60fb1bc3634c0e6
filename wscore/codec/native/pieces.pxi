# What comes neither whole nor plain, as a part of reader.pyx: compressed payloads, and messages handed out in pieces.

cdef int _read_compressed(Reader self, const uint8_t* data, Py_ssize_t size, list out) except -1:
    cdef bint ends = self.fin and size == self.left
    cdef Py_ssize_t known = self.message.size
    if not _inflate(self, data, size, ends):
        return 0
    if known == 0 and ends and self.text and self.sink == NULL:
        # In the order of the pure twin, which counts a message before it looks whether it is text.
        self.spent += weight(self.message.size)
        text = decode_with(kernels, grown_data(&self.message), self.message.size)
        if text is None:
            return _fail(self, TEXT_NOT_UTF8)
        out.append(text)
        return _end_message(self)
    return _continue_message(self, known, ends, out)


cdef bint _inflate(Reader self, const uint8_t* data, Py_ssize_t size, bint ends) except -1:
    """Add what the next `size` bytes of the payload say to the message. False at a defect."""
    # One byte more than is allowed: if it comes, the message is too big.
    cdef Py_ssize_t limit = <Py_ssize_t>min(self.max_message_size, <int64_t>PY_SSIZE_T_MAX - 1) + 1
    cdef int result
    if limit < 1:
        return _fail(self, MESSAGE_TOO_BIG)
    result = _inflate_payload(self, data, size, limit)
    if ends and result == INFLATED and self.message.size < limit:
        result = _inflate_more(self, NULL, 0, limit)
    return _accepts(self, result, limit)


cdef int _inflate_payload(Reader self, const uint8_t* data, Py_ssize_t size, Py_ssize_t limit) except -1:
    """Unmask, beside the caller's buffer, and inflate."""
    cdef uint8_t small[SMALL_PAYLOAD]
    cdef uint8_t* payload = small
    if size > SMALL_PAYLOAD:
        payload = <uint8_t*>PyMem_Malloc(size)
        if payload == NULL:
            raise MemoryError
    try:
        _take(self, payload, data, size)
        return _inflate_more(self, payload, size, limit)
    finally:
        if payload != small:
            PyMem_Free(payload)


cdef int _inflate_more(Reader self, const uint8_t* payload, Py_ssize_t size, Py_ssize_t limit) except -1:
    """Add to the message what the inflater makes of `payload`, or, if that is NULL, of the end of the message."""
    cdef Inflater inflater = self.inflater
    # To wait for the inflater may suspend the reader's own section: nobody else sees this message meanwhile.
    cdef Growing message = self.message
    if inflater is None:
        return INFLATE_INVALID  # since another thread called `__init__`
    self.message = Growing(NULL, 0)
    try:
        with cython.critical_section(inflater):
            if payload == NULL:
                return inflater.finish_bytes(&message, limit)
            return inflater.inflate_bytes(payload, size, &message, limit)
    finally:
        discard_grown(&self.message)
        self.message = message


cdef bint _accepts(Reader self, int result, Py_ssize_t limit) noexcept:
    if result == INFLATE_INVALID:
        return _fail(self, DEFLATE_INVALID)
    if result == INFLATE_TOO_MANY_FINAL_BLOCKS:
        return _fail(self, TOO_MANY_FINAL_BLOCKS)
    if self.message.size >= limit:
        return _fail(self, MESSAGE_TOO_BIG)
    return True


# Pieces

cdef Py_ssize_t _read_piece(Reader self, const uint8_t* data, Py_ssize_t size, list out) except -1:
    """Deliver a part of the payload, unless it is nothing and more will come (with `frames`, of the same frame); return
    how much was read.
    """
    cdef Py_ssize_t known = self.message.size  # of text, the part of a code point that has come
    cdef Py_ssize_t added
    cdef bint ends
    if self.compressed:
        size = _inflate_in_steps(self, data, size)
        if self.stop_code == STOP_DEFECT:
            return size
    elif size:
        _append(self, &self.message, data, size, 0)
    added = self.message.size - known
    ends = self.fin and self.left == 0
    part = _take_text(self, ends) if self.text else take_grown(&self.message)
    if part is None:
        return size + _fail(self, TEXT_NOT_UTF8)
    if part or ends or self.frames and self.left == 0:
        out.append(Piece(part, self.first, ends, self.left == 0))
        self.spent += weight(added) + PIECE_WEIGHT
        self.first = False
    if ends:
        _end_message(self)
    return size


cdef Py_ssize_t _inflate_in_steps(Reader self, const uint8_t* data, Py_ssize_t size) except -1:
    """Inflate for one piece, so little at a time that the output stays small; return how much input it took."""
    cdef Py_ssize_t known = self.message.size
    cdef Py_ssize_t enough = known + PIECE_SIZE
    cdef Py_ssize_t used = 0
    cdef Py_ssize_t step
    cdef int result = INFLATED
    while used < size and self.message.size < enough and result == INFLATED:
        step = min(size - used, <Py_ssize_t>INFLATE_STEP)
        result = _inflate_payload(self, data + used, step, self.message.size + INFLATE_STEP_OUTPUT)
        used += step
    if result == INFLATED and self.fin and self.left == 0:
        result = _inflate_more(self, NULL, 0, self.message.size + INFLATE_STEP_OUTPUT)
    if _accepts(self, result, PY_SSIZE_T_MAX) and self.frames:
        self.received += self.message.size - known
        if self.received > self.max_message_size:
            _fail(self, MESSAGE_TOO_BIG)
    return used


cdef str _take_text(Reader self, bint ends):
    """The text up to its last whole code point, whose rest is kept; None if it is not UTF-8."""
    cdef uint8_t rest[4]
    cdef const uint8_t* data = grown_data(&self.message)
    cdef Py_ssize_t size = self.message.size
    cdef Py_ssize_t used
    if size == 0:
        return ""
    used = size if ends else size - <Py_ssize_t>utf8_incomplete(data, size)
    text = decode_with(kernels, data, used)
    size -= used
    if text is None or utf8_feed(0, data + used, size) == UTF8_INVALID:
        return None
    memcpy(rest, data + used, size)
    discard_grown(&self.message)
    if size:
        memcpy(reserve(&self.message, size, 0), rest, size)
        self.message.size = size
    return text
