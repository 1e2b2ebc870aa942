/* Runs a prebuilt library in an emulator: `runner LIBRARY`, a static Linux program for the library's processor, built
 * without a C library, in a second.
 *
 * It loads the shipped file itself, which is simple because the file needs no other library: segments are copied to
 * their relative places, relocations are applied, constructors run. Then it writes three bytes, the self-test's failures,
 * the number of results (1: forecast; 3: with lower and upper) and the length of the instruction set's name, and this
 * name. For every request on stdin, a uint32 count, `count` windows of floats, as many int64 times and as many int64
 * series (which a library of one series is not given), it writes the forecasts to stdout, then the lower and the upper
 * bounds if there are any. Exit 2: not such a library; 3: a truncated request. */

#include <stddef.h>
#include <stdint.h>

enum { PT_LOAD = 1, PT_DYNAMIC = 2, PT_TLS = 7 };
enum {
    DT_NEEDED = 1, DT_PLTRELSZ = 2, DT_HASH = 4, DT_STRTAB = 5, DT_SYMTAB = 6, DT_RELA = 7, DT_RELASZ = 8, DT_REL = 17,
    DT_RELSZ = 18, DT_PLTREL = 20, DT_JMPREL = 23, DT_INIT_ARRAY = 25, DT_INIT_ARRAYSZ = 27, DT_RELR = 36, DT_TAGS = 37
};
typedef uintptr_t word;
typedef struct {
    unsigned char ident[16];
    uint16_t type, machine;
    uint32_t version;
    word entry, parts_at, sections_at;
    uint32_t flags;
    uint16_t size, part_size, parts;
} header;
typedef struct {
    word tag, value;
} entry;
typedef struct {
    word offset, info;
} relocation;
typedef struct {
    word offset, info, addend;
} relocation_with_addend;
#if UINTPTR_MAX > 0xffffffffu
typedef struct {
    uint32_t type, flags;
    word offset, address, physical, in_file, in_memory, align;
} part;
typedef struct {
    uint32_t name;
    unsigned char info, other;
    uint16_t section;
    word value, size;
} symbol;
#define SYMBOL(info) ((info) >> 32)
#define TYPE(info) ((info) & 0xffffffff)
#else
typedef struct {
    uint32_t type;
    word offset, address, physical, in_file, in_memory, flags, align;
} part;
typedef struct {
    uint32_t name;
    word value, size;
    unsigned char info, other;
    uint16_t section;
} symbol;
#define SYMBOL(info) ((info) >> 8)
#define TYPE(info) ((info) & 0xff)
#endif

/* System calls, and the start: the kernel puts the arguments on the stack. */
#if defined(__x86_64__)
enum { RELATIVE = 8, OPENAT = 257, READ = 0, WRITE = 1, MMAP = 9, EXIT = 60 };
static long call(long n, long a, long b, long c, long d, long e, long f) {
    register long r10 __asm__("r10") = d, r8 __asm__("r8") = e, r9 __asm__("r9") = f;
    long result;
    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "a"(n), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                     : "rcx", "r11", "memory");
    return result;
}
__asm__(".globl _start\n_start:\n movq %rsp, %rdi\n andq $-16, %rsp\n call begin\n");
#elif defined(__aarch64__)
enum { RELATIVE = 1027, OPENAT = 56, READ = 63, WRITE = 64, MMAP = 222, EXIT = 93 };
static long call(long n, long a, long b, long c, long d, long e, long f) {
    register long x8 __asm__("x8") = n, x0 __asm__("x0") = a, x1 __asm__("x1") = b, x2 __asm__("x2") = c;
    register long x3 __asm__("x3") = d, x4 __asm__("x4") = e, x5 __asm__("x5") = f;
    __asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5) : "memory");
    return x0;
}
__asm__(".globl _start\n_start:\n mov x0, sp\n bl begin\n");
#elif defined(__riscv)
enum { RELATIVE = 3, OPENAT = 56, READ = 63, WRITE = 64, MMAP = 222, EXIT = 93 };
static long call(long n, long a, long b, long c, long d, long e, long f) {
    register long a7 __asm__("a7") = n, a0 __asm__("a0") = a, a1 __asm__("a1") = b, a2 __asm__("a2") = c;
    register long a3 __asm__("a3") = d, a4 __asm__("a4") = e, a5 __asm__("a5") = f;
    __asm__ volatile("ecall" : "+r"(a0) : "r"(a7), "r"(a1), "r"(a2), "r"(a3), "r"(a4), "r"(a5) : "memory");
    return a0;
}
__asm__(".globl _start\n_start:\n mv a0, sp\n call begin\n");
#elif defined(__arm__)
enum { RELATIVE = 23, OPENAT = 322, READ = 3, WRITE = 4, MMAP = 192, EXIT = 1 };
static long call(long n, long a, long b, long c, long d, long e, long f) {
    register long r7 __asm__("r7") = n, r0 __asm__("r0") = a, r1 __asm__("r1") = b, r2 __asm__("r2") = c;
    register long r3 __asm__("r3") = d, r4 __asm__("r4") = e, r5 __asm__("r5") = f;
    __asm__ volatile("svc 0" : "+r"(r0) : "r"(r7), "r"(r1), "r"(r2), "r"(r3), "r"(r4), "r"(r5) : "memory");
    return r0;
}
__asm__(".globl _start\n_start:\n mov r0, sp\n bl begin\n");
#else
#error "the runner does not know this processor"
#endif

static char *base;
static const symbol *symbols;
static const char *names;
static word symbol_count;

static void end(int status) {
    for (;;) call(EXIT, status, 0, 0, 0, 0, 0);
}

static void check(int holds) {
    if (!holds) end(2);
}

static char *room(size_t size) {
    long at = call(MMAP, 0, (long)size, 7 /* read, write, execute */, 0x22 /* private, anonymous */, -1, 0);
    check((unsigned long)at < -4096ul);
    return (char *)at;
}

/* Returns the number of bytes read, at most `size`. */
static size_t take(int file, void *to, size_t size) {
    size_t got = 0;
    while (got < size) {
        long more = call(READ, file, (long)((char *)to + got), (long)(size - got), 0, 0, 0);
        if (more <= 0) break;
        got += (size_t)more;
    }
    return got;
}

static void give(const void *from, size_t size) {
    size_t given = 0;
    while (given < size) {
        long more = call(WRITE, 1, (long)((const char *)from + given), (long)(size - given), 0, 0, 0);
        if (more <= 0) end(3);
        given += (size_t)more;
    }
}

static void copy(char *to, const char *from, size_t size) {
    while (size--) *to++ = *from++;
}

static void relocate(word offset, word info, word addend) {
    const int relative = TYPE(info) == RELATIVE;
    check(relative || symbols[SYMBOL(info)].section); /* else it is a function from elsewhere */
    *(word *)(base + offset) = (word)base + addend + (relative ? 0 : symbols[SYMBOL(info)].value);
}

static void load(const char *path) {
    enum { MOST = 1 << 26 };
    char *file = room(MOST);
    const int opened = (int)call(OPENAT, -100, (long)path, 0, 0, 0, 0);
    const header *head = (const header *)file;
    const part *parts;
    const entry *row;
    word found[DT_TAGS] = {0}, span = 0, dynamic = 0, i;
    check(opened >= 0 && take(opened, file, MOST) > sizeof *head);
    parts = (const part *)(file + head->parts_at);
    for (i = 0; i < head->parts; i++) {
        check(parts[i].type != PT_TLS);
        if (parts[i].type == PT_LOAD && parts[i].address + parts[i].in_memory > span)
            span = parts[i].address + parts[i].in_memory;
        if (parts[i].type == PT_DYNAMIC) dynamic = parts[i].address;
    }
    check(dynamic != 0);
    base = room(span);
    for (i = 0; i < head->parts; i++)
        if (parts[i].type == PT_LOAD) copy(base + parts[i].address, file + parts[i].offset, parts[i].in_file);
    for (row = (const entry *)(base + dynamic); row->tag; row++)
        if (row->tag < DT_TAGS) found[row->tag] = row->value;
    check(!found[DT_NEEDED] && !found[DT_RELR]);
    symbols = (const symbol *)(base + found[DT_SYMTAB]);
    names = base + found[DT_STRTAB];
    symbol_count = ((const uint32_t *)(base + found[DT_HASH]))[1];
    for (i = 0; i < found[DT_RELASZ]; i += sizeof(relocation_with_addend)) {
        const relocation_with_addend *r = (const relocation_with_addend *)(base + found[DT_RELA] + i);
        relocate(r->offset, r->info, r->addend);
    }
    for (i = 0; i < found[DT_RELSZ]; i += sizeof(relocation)) {
        const relocation *r = (const relocation *)(base + found[DT_REL] + i);
        relocate(r->offset, r->info, TYPE(r->info) == RELATIVE ? *(word *)(base + r->offset) : 0);
    }
    for (i = 0; i < found[DT_PLTRELSZ];
         i += found[DT_PLTREL] == DT_RELA ? sizeof(relocation_with_addend) : sizeof(relocation)) {
        const relocation *r = (const relocation *)(base + found[DT_JMPREL] + i);
        relocate(r->offset, r->info, 0);
    }
    for (i = 0; i < found[DT_INIT_ARRAYSZ] / sizeof(word); i++)
        ((void (*)(void))((word *)(base + found[DT_INIT_ARRAY]))[i])();
}

static word function(const char *name) {
    word i, j;
    for (i = 0; i < symbol_count; i++) {
        const char *other = names + symbols[i].name;
        for (j = 0; name[j] && name[j] == other[j]; j++) continue;
        if (symbols[i].section && name[j] == other[j]) return (word)base + symbols[i].value;
    }
    end(2);
    return 0;
}

static size_t length(const char *text) {
    size_t n = 0;
    while (text[n]) n++;
    return n;
}

typedef size_t predict_batch(const float *, const int64_t *, const int64_t *, size_t, float *, float *, float *);

/* Reads, forecasts and writes one request after the other. */
static void serve(predict_batch *predict, size_t window, size_t horizon, size_t results, int many) {
    char *windows = NULL, *times = NULL, *series = NULL, *found = NULL;
    size_t room_for = 0, each;
    uint32_t count;
    while (take(0, &count, sizeof count) == sizeof count) {
        if (count > room_for) {
            windows = room(count * window);
            times = room(count * sizeof(int64_t));
            series = room(count * sizeof(int64_t));
            found = room(3 * count * horizon);
            room_for = count;
        }
        each = count * horizon;
        if (take(0, windows, count * window) != count * window) end(3);
        if (take(0, times, count * sizeof(int64_t)) != count * sizeof(int64_t)) end(3);
        if (take(0, series, count * sizeof(int64_t)) != count * sizeof(int64_t)) end(3);
        predict((const float *)windows, (const int64_t *)times, many ? (const int64_t *)series : NULL, count,
                (float *)found, (float *)(found + each), (float *)(found + 2 * each));
        give(found, results * each);
    }
}

/* `stack`: the number of arguments, and their addresses. */
__attribute__((used)) void begin(word *stack) {
    size_t (*size)(int);
    const char *isa;
    unsigned char said[3];
    check(stack[0] == 2);
    load((const char *)stack[2]);
    size = (size_t (*)(int))function("model_size");
    isa = ((const char *(*)(void))function("model_isa"))();
    said[0] = (unsigned char)((int (*)(void))function("model_selftest"))();
    said[1] = (unsigned char)size(5);
    said[2] = (unsigned char)length(isa);
    give(said, 3);
    give(isa, said[2]);
    serve((predict_batch *)function("model_predict_batch"), size(2) * size(3) * sizeof(float), size(4) * sizeof(float),
          size(5), size(6) > 1);
    end(0);
}
