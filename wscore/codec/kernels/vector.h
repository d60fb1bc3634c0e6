/* The algorithms of all vector variants, written once over the operations that each instruction set names: masking.
 *
 * The including file defines V, the widest vector, of V_SIZE bytes, with its v_ operations, and X, a vector of 16 bytes, with its
 * x_ operations. */
#include "scalar.h"
#include "tables.h"

/* The first and the last vector are loaded before anything is stored, and stored last: so the aligned ones between them may overlap
 * both, in place too, and no byte is left for a loop of its own. */
static int mask(uint8_t *dst, const uint8_t *src, size_t size, uint32_t key) {
    if (size < V_SIZE) return mask_short(dst, src, size, key);
    uint8_t *end = dst + size - V_SIZE;
    V first = v_xor(v_load(src), v_splat_32(key));
    V last = v_xor(v_load(src + size - V_SIZE), v_splat_32(turned(key, size - V_SIZE)));
    V seen = v_or(first, last);
    size_t head = V_SIZE - ((uintptr_t)dst & (V_SIZE - 1));
    uint8_t *at = dst + head;
    V wide = v_splat_32(turned(key, head));
    src += head;
    for (; at + 4 * V_SIZE <= end; at += 4 * V_SIZE, src += 4 * V_SIZE) {
        V a = v_xor(v_load(src), wide), b = v_xor(v_load(src + V_SIZE), wide);
        V c = v_xor(v_load(src + 2 * V_SIZE), wide), d = v_xor(v_load(src + 3 * V_SIZE), wide);
        v_store(at, a), v_store(at + V_SIZE, b), v_store(at + 2 * V_SIZE, c), v_store(at + 3 * V_SIZE, d);
        seen = v_or(seen, v_or(v_or(a, b), v_or(c, d)));
    }
    for (; at < end; at += V_SIZE, src += V_SIZE) {
        V a = v_xor(v_load(src), wide);
        v_store(at, a);
        seen = v_or(seen, a);
    }
    v_store(end, last), v_store(end - (size - V_SIZE), first);
    return v_is_ascii(seen);
}
