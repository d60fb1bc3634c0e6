/* simdutf's validation for C, if there is one to link with. */
#ifndef SIMDUTF_BENCH_H
#define SIMDUTF_BENCH_H

#include <stddef.h>

#ifdef WSCORE_SIMDUTF
#define HAS_SIMDUTF 1
#ifdef __cplusplus
extern "C" {
#endif
int simdutf_bench_validate(const char *data, size_t size);
const char *simdutf_bench_version(void);
#ifdef __cplusplus
}
#endif
#else
#define HAS_SIMDUTF 0
static inline int simdutf_bench_validate(const char *data, size_t size) { return data && size == 0; }
static inline const char *simdutf_bench_version(void) { return ""; }
#endif

#endif
