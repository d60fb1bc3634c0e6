/* Which variants there are, and which one this processor gets. */
#include "kernels.h"
#include "tables.h"
#include <string.h>

#if WSCORE_X86
/* The processor is asked, not `__builtin_cpu_supports`: what that answers is up to the library that a compiler brings, and
   Zig's says no to everything. */
#if defined(_MSC_VER)
#include <immintrin.h>
#include <intrin.h>

static void cpuid(int number, int registers[4]) { __cpuidex(registers, number, 0); }
static int saved_registers(void) { return (int)_xgetbv(0); }
#else
#include <cpuid.h>

static void cpuid(int number, int registers[4]) {
    __cpuid_count(number, 0, registers[0], registers[1], registers[2], registers[3]);
}

static int saved_registers(void) {
    int low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return low;
}
#endif

static int leaf(int number, int index, int bit) {
    int registers[4];
    cpuid(0, registers);
    if (registers[0] < number) return 0;
    cpuid(number, registers);
    return registers[index] >> bit & 1;
}

static int has_ssse3(void) { return leaf(1, 2, 9); }
/* AVX also needs an operating system that saves its registers. */
static int has_avx2(void) { return leaf(1, 2, 27) && (saved_registers() & 6) == 6 && leaf(7, 1, 5); }
/* F, BW, VL, VBMI and VBMI2; POPCNT and BMI2 are older, but a virtual machine may hide them. */
static int has_avx512(void) {
    return has_avx2() && (saved_registers() & 0xe6) == 0xe6 && leaf(7, 1, 16) && leaf(7, 1, 30) && leaf(7, 1, 31) &&
           leaf(7, 2, 1) && leaf(7, 2, 6) && leaf(1, 2, 23) && leaf(7, 1, 8);
}
#endif

static int always(void) { return 1; }

static const struct {
    const struct kernels *kernels;
    int (*available)(void);
} variants[] = {
#if WSCORE_X86
    {&wscore_avx512, has_avx512},
    {&wscore_avx2, has_avx2},
    {&wscore_ssse3, has_ssse3},
#elif WSCORE_NEON
    {&wscore_neon, always},
#endif
    {&wscore_scalar, always},
};

#define VARIANTS (sizeof variants / sizeof *variants)

/* Those that this processor has, found when the module is imported: a hypervisor may take microseconds for each answer that a
 * processor gives at once. */
static const struct kernels *present[VARIANTS + 1];

static void find_present(void) {
    if (present[0]) return;
    for (size_t i = 0, found = 0; i < VARIANTS; i++)
        if (variants[i].available()) present[found++] = variants[i].kernels;
}

const struct kernels *wscore_kernels_at(size_t index) {
    wscore_fill_tables();
    find_present();
    for (size_t i = 0; i < index; i++)
        if (!present[i]) return NULL;
    return present[index];
}

const struct kernels *wscore_kernels_best(void) { return wscore_kernels_at(0); }

const struct kernels *wscore_kernels_named(const char *name) {
    const struct kernels *found;
    for (size_t i = 0; (found = wscore_kernels_at(i)) != NULL; i++)
        if (!strcmp(found->name, name)) return found;
    return NULL;
}
