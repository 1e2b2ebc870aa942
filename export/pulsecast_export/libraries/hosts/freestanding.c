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

#if defined(_WIN32) && defined(__x86_64__)
void model_ask_processor(void); /* of model.c: what a C runtime would call */

/* The library's entry point. */
int __stdcall DllMainCRTStartup(void *library, unsigned long reason, void *reserved) {
    (void)library;
    (void)reserved;
    if (reason == 1) model_ask_processor(); /* attached to a process */
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
#endif
