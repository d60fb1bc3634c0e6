"""The C face of the kernels: one table of functions, for the instruction set that is in use.

`kernels.h` says what each function promises. Only the module `kernels` contains them; the others ask it for the table
once, when they are imported.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t

cdef extern from "kernels.h" nogil:
    enum:
        WIDEST_UCS1
        WIDEST_UCS2
        WSCORE_SLACK
    const uint32_t UTF8_INVALID
    size_t SIZE_MAX

    ctypedef struct Kernels "struct kernels":
        const char* name
        bint (*mask)(uint8_t* target, const uint8_t* source, size_t size, uint32_t key) noexcept nogil
        void (*utf8_measure)(const uint8_t* source, size_t size, size_t* chars, uint8_t* widest) noexcept nogil
        bint (*utf8_to_ucs1)(uint8_t* target, size_t chars, const uint8_t* source, size_t size) noexcept nogil
        bint (*utf8_to_ucs2)(uint16_t* target, size_t chars, const uint8_t* source, size_t size) noexcept nogil
        bint (*utf8_to_ucs4)(uint32_t* target, size_t chars, const uint8_t* source, size_t size) noexcept nogil
        size_t (*utf8_size_ucs1)(const uint8_t* source, size_t chars) noexcept nogil
        size_t (*utf8_size_ucs2)(const uint16_t* source, size_t chars) noexcept nogil
        size_t (*utf8_size_ucs4)(const uint32_t* source, size_t chars) noexcept nogil
        size_t (*ucs1_to_utf8)(uint8_t* target, const uint8_t* source, size_t chars) noexcept nogil
        size_t (*ucs2_to_utf8)(uint8_t* target, const uint16_t* source, size_t chars) noexcept nogil
        size_t (*ucs4_to_utf8)(uint8_t* target, const uint32_t* source, size_t chars) noexcept nogil

    uint32_t wscore_utf8_feed(const Kernels* kernels, uint32_t state, const uint8_t* source, size_t size) noexcept
    size_t wscore_utf8_incomplete(const uint8_t* source, size_t size) noexcept
    const Kernels* wscore_kernels_best() noexcept
    const Kernels* wscore_kernels_named(const char* name) noexcept
    const Kernels* wscore_kernels_at(size_t index) noexcept

cdef const Kernels* kernels_in_use() noexcept nogil

# The state of text after `size` more bytes: 0 between characters, UTF8_INVALID from the first wrong byte on.
cdef uint32_t utf8_feed(uint32_t state, const uint8_t* data, size_t size) noexcept nogil

# How many bytes at the end begin a character that is not complete, 0 to 3.
cdef size_t utf8_incomplete(const uint8_t* data, size_t size) noexcept nogil
