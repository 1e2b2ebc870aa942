/* Functions that compilers call although the source does not, so that a prebuilt library needs no other library: it
 * loads beside any C library or none. Compiled together with model.c, with -ffreestanding, which also keeps the
 * compiler from turning the loops below into calls of themselves. */

#include <stddef.h>
#include <stdint.h>

#define HIDDEN __attribute__((visibility("hidden"), used))

HIDDEN void *memset(void *to, int value, size_t count) {
    unsigned char *byte = to;
    while (count--) *byte++ = (unsigned char)value;
    return to;
}

HIDDEN void *memcpy(void *restrict to, const void *restrict from, size_t count) {
    unsigned char *byte = to;
    const unsigned char *other = from;
    while (count--) *byte++ = *other++;
    return to;
}

#if defined(__x86_64__)
/* The data that __builtin_cpu_supports and __builtin_cpu_is read, with the numbers that GCC and Clang share. They are
 * filled in when the library is loaded, before any other code runs. */
HIDDEN struct {
    uint32_t vendor, type, subtype, features;
} __cpu_model;
HIDDEN uint32_t __cpu_features2[4]; /* features from 32 on */
enum { AMD = 2, AVX2 = 10, FMA = 14, AVX512F = 15, AVX512VNNI = 34 };

static void cpuid(uint32_t leaf, uint32_t *a, uint32_t *b, uint32_t *c) {
    uint32_t d;
    __asm__ volatile("cpuid" : "=a"(*a), "=b"(*b), "=c"(*c), "=d"(d) : "a"(leaf), "c"(0));
}

/* The processor must have the instructions and the system must keep the registers: bits 1 and 2 of XCR0 for those of
 * AVX, 5 to 7 for those of AVX-512. */
static void look(void) {
    uint32_t most, a, b, c, low, high;
    cpuid(0, &most, &b, &c);
    if (b == 0x68747541 && c == 0x444d4163) __cpu_model.vendor = AMD; /* "Auth", "cAMD" */
    if (most < 7) return;
    cpuid(1, &a, &b, &c);
    if (!(c >> 27 & 1)) return; /* no XGETBV */
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    if ((low & 0x06) != 0x06) return;
    if (c >> 12 & 1) __cpu_model.features |= 1u << FMA;
    cpuid(7, &a, &b, &c);
    if (b >> 5 & 1) __cpu_model.features |= 1u << AVX2;
    if (!(b >> 16 & 1) || (low & 0xe0) != 0xe0) return;
    __cpu_model.features |= 1u << AVX512F;
    if (c >> 11 & 1) __cpu_features2[0] |= 1u << (AVX512VNNI - 32);
}

#if defined(_WIN32)
/* The library's entry point. */
int __stdcall DllMainCRTStartup(void *library, unsigned long reason, void *reserved) {
    (void)library;
    (void)reserved;
    if (reason == 1) look(); /* attached to a process */
    return 1;
}

/* Called before a frame of rax bytes is made: touches its pages one after the other, because the stack of a Windows
 * thread grows only by the page below the last. Keeps every register. */
__asm__(
    ".globl ___chkstk_ms\n"
    "___chkstk_ms:\n"
    "    pushq %rcx\n"
    "    pushq %rax\n"
    "    leaq 24(%rsp), %rcx\n" /* the caller's stack pointer */
    "1:  cmpq $4096, %rax\n"
    "    jb 2f\n"
    "    subq $4096, %rcx\n"
    "    orq $0, (%rcx)\n"
    "    subq $4096, %rax\n"
    "    jmp 1b\n"
    "2:  subq %rax, %rcx\n"
    "    orq $0, (%rcx)\n"
    "    popq %rax\n"
    "    popq %rcx\n"
    "    retq\n");
#else
__attribute__((constructor)) static void loaded(void) { look(); }
#endif
#endif
