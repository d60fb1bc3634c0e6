# Headers that are not those of whole messages, as a part of reader.pyx: what has come of one, and the limits that are
# checked before any payload is kept. Whether it is well formed is `parse_header`'s affair.

cdef Py_ssize_t _read_part(Reader self, const uint8_t* data, Py_ssize_t size, list out) except -1:
    """Read a header, or what there is of it, and what there is of its payload."""
    cdef Py_ssize_t start = 0
    if self.opcode < 0:
        start = _read_header(self, data, size)
        if self.opcode < 0:
            return size
    return start + _read_payload(self, data + start, <Py_ssize_t>min(<int64_t>(size - start), self.left), out)


cdef Py_ssize_t _read_header(Reader self, const uint8_t* data, Py_ssize_t size) noexcept:
    """Read a header, or its next part, and leave `opcode` at -1 while it is incomplete or if it is wrong."""
    cdef uint8_t known = self.header_size
    cdef Py_ssize_t more = min(size, <Py_ssize_t>(MAX_HEADER - known))
    cdef Py_ssize_t end
    if known == 0:
        end = _take_header(self, data, size)
        if end:
            return end
    memcpy(self.header + known, data, more)
    end = _take_header(self, self.header, known + more) if known else 0
    # An incomplete header has used up all of the data: it has at most 13 bytes.
    self.header_size = 0 if end else <uint8_t>(known + more)
    return end - known


cdef Py_ssize_t _take_header(Reader self, const uint8_t* data, Py_ssize_t size) noexcept:
    """Take a header, return its size, 0 if it is incomplete or wrong."""
    cdef Header header
    cdef Py_ssize_t end = parse_header(data, size, self.mask_bit, self.inflater is not None, self.in_message, &header)
    cdef int opcode
    if header.rule != NO_RULE:
        return _fail(self, DEFECTS[header.rule])
    if end == 0:
        return 0
    opcode = header.first & OPCODE_BITS
    if opcode & CONTROL_BIT:
        self.controls += opcode != CLOSE
        _charge_frame(self, <Py_ssize_t>header.length)
    elif not _start_fragment(self, header.first, opcode, <int64_t>header.length):
        return 0
    self.opcode = opcode
    self.left = <int64_t>header.length
    self.words = header.words
    return end


cdef inline void _charge_frame(Reader self, Py_ssize_t size) noexcept:
    """What makes no message costs the budget, too: else nothing would bound how much of it is read in one go."""
    self.spent += weight(size)
    self.spent_on_frames += weight(size)


cdef bint _start_fragment(Reader self, int first, int opcode, int64_t length) noexcept:
    """The header of a data frame is whole: check the limits before any payload is kept. False at a defect."""
    cdef int64_t limit
    if opcode != CONTINUATION:
        self.in_message = True
        self.text = opcode == TEXT
        self.compressed = first & RSV1 != 0
    self.fin = first & FIN != 0
    if self.discards:
        _charge_frame(self, 0)
        return True
    if self.pieces:
        return True
    self.fragments += 1
    if self.fragments > self.max_fragments:
        _fail(self, TOO_MANY_FRAGMENTS)
        return False
    if self.frames and self.compressed:
        return True
    # In this order no sum can overflow: what was received is never more than the limit.
    limit = _compressed_limit(self.max_message_size) if self.compressed else self.max_message_size
    if length > limit - self.received:
        _fail(self, MESSAGE_TOO_BIG)
        return False
    self.received += length
    return True
