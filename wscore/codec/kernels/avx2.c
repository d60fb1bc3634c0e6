/* x86-64 since 2013 (Haswell, Zen): vectors of 32 bytes for masking and validation. */
#include "kernels.h"

#if WSCORE_X86
#include <immintrin.h>
#include <string.h>

WSCORE_TARGET("avx2")
#include "avx2.h"
#include "vector.h"
#include "validate.h"
#include "decode.h"
#include "encode.h"

WSCORE_VARIANT(avx2)
WSCORE_TARGET_END
#endif
