"""The physical floor under the time of a window: what this processor cannot do faster, however a model is written.

A program in C, compiled for this very processor, measures on one core how many products it adds up in a nanosecond, as
floats and as 16-bit integers, and how many bytes it reads from a table as large as a layer's recurrent weights, all of
which every step of a lone window needs. The best of several runs counts: it is a limit. A window's multiplications and
bytes over these rates are its floor. Gates, the calendar and the waiting of one step for the one before come on top.
"""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

from pulsecast.backends.native_library import compile_library, find_compiler
from pulsecast.errors import EngineError
from pulsecast.model.spec import ModelSpec
from pulsecast.model.weights import Weights

FLAGS = ("-std=gnu99", "-O2", "-march=native")
TIMEOUT_S = 60
_SOURCE = r"""
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#if defined(__AVX512F__)
#define BYTES 64
#elif defined(__AVX__)
#define BYTES 32
#else
#define BYTES 16
#endif
#if defined(__AVX512VNNI__) || defined(__AVX2__)
#include <immintrin.h>
#endif
#if defined(__AVX512F__) || defined(__aarch64__)
#define EACH(do) do(0) do(1) do(2) do(3) do(4) do(5) do(6) do(7) do(8) do(9) do(10) do(11) do(12) do(13) do(14) do(15)
#define SUMS 16
#else
#define EACH(do) do(0) do(1) do(2) do(3) do(4) do(5) do(6) do(7) do(8) do(9) do(10) do(11)
#define SUMS 12
#endif
typedef float floats __attribute__((vector_size(BYTES)));
typedef int ints __attribute__((vector_size(BYTES)));
enum { TIMES = 20000, RUNS = 40 };
static volatile float small = 0.5f;
static volatile int kept;

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

/* products of floats in a nanosecond */
static double multiply_adds(void) {
    const floats x = small - (floats){0};
    double began;
    int i;
#define BEGIN(n) floats sum_##n = x + (float)n; /* equal ones would be made once */
#define ADD(n) sum_##n = sum_##n * x + x;
#define KEEP(n) kept = (int)sum_##n[0];
    EACH(BEGIN)
    began = now();
    for (i = 0; i < TIMES; i++) { EACH(ADD) }
    began = now() - began;
    EACH(KEEP)
    return (double)TIMES * SUMS * (BYTES / 4) / began;
}

/* products of 16-bit integers in a nanosecond; 0 where there is no instruction that adds up two of them */
static double dots(void) {
#if defined(__AVX512VNNI__) || defined(__AVX2__)
    double began;
    int i;
#undef BEGIN
#undef ADD
#undef KEEP
#if defined(__AVX512VNNI__)
    const __m512i x = _mm512_set1_epi32((int)(small + 0.5f));
#define BEGIN(n) __m512i sum_##n = _mm512_set1_epi32(n);
#define ADD(n) sum_##n = _mm512_dpwssd_epi32(sum_##n, sum_##n, x);
#else
    const __m256i x = _mm256_set1_epi32((int)(small + 0.5f));
#define BEGIN(n) __m256i sum_##n = _mm256_set1_epi32(n);
#define ADD(n) sum_##n = _mm256_add_epi32(sum_##n, _mm256_madd_epi16(sum_##n, x));
#endif
#define KEEP(n) kept = ((ints)sum_##n)[0];
    EACH(BEGIN)
    began = now();
    for (i = 0; i < TIMES; i++) { EACH(ADD) }
    began = now() - began;
    EACH(KEEP)
    return (double)TIMES * SUMS * (sizeof x / 2) / began;
#else
    return 0.0;
#endif
}

/* bytes of a table in a nanosecond, read again and again, forwards and backwards in turn */
static double reads(const ints *table, size_t vectors, int times) {
    ints a = {0}, b = {0}, c = {0}, d = {0};
    double began = now();
    int turn;
    size_t i;
    for (turn = 0; turn < times; turn++) {
        for (i = 0; i + 4 <= vectors; i += 4) {
            const ints *at = table + (turn & 1 ? vectors - 4 - i : i);
            a ^= at[0], b ^= at[1], c ^= at[2], d ^= at[3];
        }
        __asm__ volatile("" ::: "memory");
    }
    began = now() - began;
    a ^= b ^ c ^ d;
    kept = a[0];
    return (double)(vectors / 4 * 4 * sizeof *table) * times / began;
}

int main(int count, char **argument) {
    size_t vectors = count > 1 ? (size_t)atol(argument[1]) / sizeof(ints) : 0;
    double best[3] = {0}, found;
    ints *table;
    int run;
    if (vectors < 4 || posix_memalign((void **)&table, 64, vectors * sizeof(ints))) return 2;
    memset(table, 1, vectors * sizeof(ints));
    for (run = 0; run < RUNS; run++) {
        if ((found = multiply_adds()) > best[0]) best[0] = found;
        if ((found = dots()) > best[1]) best[1] = found;
        found = reads(table, vectors, (int)((8u << 20) / (vectors * sizeof(ints)) + 1));
        if (found > best[2]) best[2] = found;
    }
    printf("%.6g %.6g %.6g\n", best[0], best[1], best[2]);
    return 0;
}
"""


@dataclass(frozen=True, kw_only=True)
class Work:
    """What a window needs.

    products         all multiplications with weights
    between          those with what units put out: of integers in the 8-bit artifact, whose others are of floats
    recurrent_bytes  of recurrent weights as floats, read in each of its steps
    table_bytes      those of the largest layer: layers take turns every few steps, so that a cache holds one of them
    steps            of its window
    """

    products: int
    between: int
    recurrent_bytes: int
    table_bytes: int
    steps: int


@dataclass(frozen=True, kw_only=True)
class Rates:
    """What one core does in a nanosecond: products of floats, of 16-bit integers (0: not known), and bytes read."""

    floats: float
    integers: float
    bytes: float


@dataclass(frozen=True, kw_only=True)
class Floor:
    """Microseconds a window, at least: for its products, and for the recurrent weights that a lone window reads."""

    products_us: float
    bytes_us: float


def work_of(spec: ModelSpec, weights: Weights) -> Work:
    """Return what a window of a plain stack of LSTMs needs."""
    kernels = [cell.kernel.size for cell in weights.layers]
    recurrent = [cell.recurrent.size for cell in weights.layers]
    between = (sum(kernels[1:]) + sum(recurrent)) * spec.window
    return Work(
        products=kernels[0] * spec.window + between + weights.head_kernel.size,
        between=between,
        recurrent_bytes=4 * sum(recurrent),
        table_bytes=4 * max(recurrent),
        steps=spec.window,
    )


def floors(work: Work, rates: Rates) -> dict[str, Floor]:
    """Return the floor of `native`, and of `native-w8` where products of integers were measured."""
    read_us = work.recurrent_bytes * work.steps / rates.bytes / 1e3
    found = {"native": Floor(products_us=work.products / rates.floats / 1e3, bytes_us=read_us)}
    if rates.integers:
        products = (work.products - work.between) / rates.floats + work.between / rates.integers
        # 8-bit weights are widened to 16 bits once a call: half the bytes of floats
        found["native-w8"] = Floor(products_us=products / 1e3, bytes_us=read_us / 2)
    return found


def build_rates(folder: Path) -> Path:
    """Compile the program that measures the rates into the new `folder`; raises MissingExtraError, EngineError."""
    folder.mkdir()
    (folder / "rates.c").write_text(_SOURCE, encoding="ascii")
    compile_library(find_compiler(), folder, folder / "rates", FLAGS, ("rates.c",))
    return folder / "rates"


def measure_rates(program: Path, table_bytes: int) -> Rates:
    """Return the best rates of a tenth of a second; raises EngineError."""
    done = subprocess.run([str(program), str(table_bytes)], capture_output=True, timeout=TIMEOUT_S, check=False)
    said = done.stdout.split()
    if done.returncode or len(said) != 3:
        raise EngineError(f"the program that measures this processor failed (exit {done.returncode}, {said!r})")
    floats, integers, read = map(float, said)
    return Rates(floats=floats, integers=integers, bytes=read)


def best(first: Rates, second: Rates) -> Rates:
    """Return the higher of each rate."""
    return Rates(
        floats=max(first.floats, second.floats),
        integers=max(first.integers, second.integers),
        bytes=max(first.bytes, second.bytes),
    )
