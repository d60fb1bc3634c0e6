#include "simdutf_bench.h"
#include <simdutf.h>

int simdutf_bench_validate(const char *data, size_t size) { return simdutf::validate_utf8(data, size); }

const char *simdutf_bench_version(void) { return SIMDUTF_VERSION; }
