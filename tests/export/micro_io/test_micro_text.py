"""The C beside the full-integer TFLite file as a text, and as what compilers make of it."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import numpy as np
import pytest

from helpers.engines import require_tool, require_tools
from helpers.micro.models import (
    ARM,
    AROUND,
    STRICT,
    columns_of,
    model_of,
    moments,
    path_of,
    surroundings,
    windows_of,
    written,
)
from helpers.native_models import require_emulator
from helpers.source_tree import REPOSITORY
from pulsecast.bundle.lone_files import lone_contract
from pulsecast.computing import reference
from pulsecast.model.windows import Windows
from pulsecast_export.contracts import contract_of
from pulsecast_export.converting.gates import INT8_OPERATORS
from pulsecast_export.micro_io.checking import channel_rounding, forecast_rounding
from pulsecast_export.micro_io.writer import HEADER, SOURCE, sources

# of a bound, plus 1: two libraries of mathematics, logarithms up to 10, and a fused multiplication
BOUNDS_APART = 2e-5
HOSTILE = 'a "*/" /* b /*/ \\ ??/ %s @NAME@ é'


def test_the_same_model_gives_the_same_ascii_and_it_says_its_contract(any_name: str, tmp_path: Path) -> None:
    model = model_of(AROUND[any_name], HOSTILE)
    texts = sources(model)
    assert texts == sources(model_of(AROUND[any_name], HOSTILE))
    assert all(text.isascii() and "\r" not in text for text in texts.values())
    assert set(re.findall(r"#include (\S+)", "".join(texts.values()))) == {
        *("<math.h>", "<stdint.h>", "<stddef.h>", '"micro_io.h"')
    }
    assert lone_contract(written(model, tmp_path) / HEADER) == contract_of(model, "tflite-int8")


def test_the_header_says_that_the_state_must_be_reset_and_how() -> None:
    text = sources(model_of(AROUND["a level"]))[HEADER]
    assert "keeps its state from call to call" in text
    assert re.search(r"interpreter\.Reset\(\);.*before every window; ResetVariableTensors\(\)", text)


def test_the_header_names_the_operators_that_the_gate_allows() -> None:
    text = " ".join(sources(model_of(AROUND["a level"]))[HEADER].replace("\n *", " ").split())
    (named,) = re.findall(r"\(operators: ([^)]*)\)", text)
    assert {name.replace("_", "").lower() for name in INT8_OPERATORS} == set(named.lower().split(", "))


def test_the_format_and_the_readme_say_so_too() -> None:
    form, readme = ((REPOSITORY / name).read_text("utf-8") for name in ("FORMAT.md", "export/README.md"))
    words = " ".join(form.split())
    assert "keep their state from call to call in a plain interpreter. A caller MUST reset the variables" in words
    assert "`micro_io.h` and `micro_io.c`" in words
    assert "**keeps its state from call to call**" in " ".join(readme.split())


@pytest.mark.parametrize("compiler", ["gcc", "clang", "aarch64-linux-gnu-gcc", "arm-none-eabi-gcc"])
def test_it_compiles_without_a_warning(any_name: str, compiler: str, tmp_path: Path) -> None:
    program = require_tool(compiler)
    folder = written(model_of(AROUND[any_name], HOSTILE), tmp_path)
    for optimise in ("-O0", "-O2") if compiler == "gcc" else ("-O2",):
        command = [program, *STRICT, optimise, "-c", SOURCE, "-o", "out.o"]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        assert (done.stderr, done.returncode) == ("", 0)


def test_it_keeps_no_state_and_needs_the_mathematics_of_floats_alone(any_name: str, tmp_path: Path) -> None:
    require_tools("gcc", "nm", "arm-none-eabi-size")
    folder = written(model_of(AROUND[any_name]), tmp_path)
    arm = ("arm-none-eabi-gcc", "-mcpu=cortex-m4", "-mthumb", "-mfloat-abi=hard", "-mfpu=fpv4-sp-d16")
    subprocess.run([*arm, *STRICT, "-O2", "-c", SOURCE, "-o", "out.o"], cwd=folder, check=True)
    listed = subprocess.run(["nm", "out.o"], cwd=folder, capture_output=True, text=True, check=True).stdout
    rows = [line.split()[-2:] for line in listed.splitlines()]
    assert {symbol for kind, symbol in rows if kind == "T"} == {"micro_input", "micro_output"}
    needed = {symbol for kind, symbol in rows if kind == "U"}
    floats = {"sinf", "cosf", "log1pf", "expm1f", "ceilf", "floorf", "tanhf"}
    # of libgcc: division and conversion of 64-bit whole numbers; no double, no allocation
    assert needed - floats <= {"__aeabi_ldivmod", "__aeabi_l2f", "memset", "memcpy"}
    sizes = subprocess.run(["arm-none-eabi-size", "out.o"], cwd=folder, capture_output=True, text=True, check=True)
    assert sizes.stdout.splitlines()[1].split()[1:3] == ["0", "0"]  # data, bss


def test_a_cplusplus_program_can_include_the_header_and_fast_math_is_refused(tmp_path: Path) -> None:
    require_tools("gcc")
    folder = written(model_of(AROUND["a level"]), tmp_path)
    done = subprocess.run(["gcc", "-ffast-math", "-c", SOURCE], cwd=folder, capture_output=True, text=True, check=False)
    assert "compile it without -ffast-math" in done.stderr
    assert 'extern "C" {' in (folder / HEADER).read_text("ascii")


@pytest.mark.slow
def test_an_arm_processor_gives_the_same_numbers(name: str, library, tmp_path: Path) -> None:
    """Thumb code with newlib's functions, run by an emulator."""
    require_tools("arm-none-eabi-gcc")
    emulator = require_emulator("qemu-arm")
    model = model_of(AROUND[name])
    spec, scaler = model.record.spec, model.record.scaler
    windows = windows_of(spec, moments(spec)[:: max(len(moments(spec)) // 12, 1)])
    folder = written(model, tmp_path)
    (folder / "main.c").write_text(program_of(windows), encoding="ascii")
    subprocess.run([*ARM, "main.c", SOURCE, "-o", "main.elf", "-lm"], cwd=folder, check=True)
    done = subprocess.run([emulator, "main.elf"], cwd=folder, capture_output=True, text=True, check=True)
    numbers = np.array([int(word, 16) for word in done.stdout.split()], np.uint32).view(np.float32)
    channels = numbers[: len(windows) * spec.window * len(spec.channels)].reshape(len(windows), spec.window, -1)
    forecasts = numbers[channels.size :].reshape(len(windows), 3, spec.horizon)
    columns = columns_of(model, windows)
    scaled = scaler.transform(columns)
    expected = reference.channels(spec, scaled)
    assert (np.abs(channels - expected) <= channel_rounding(spec, scaler, columns)).all()
    outputs = np.full((len(windows), spec.horizon), 0.5)
    raw = reference.to_raw(spec, scaler, outputs + path_of(model, windows), scaled, expected)
    assert (np.abs(forecasts[:, 0] - raw) <= forecast_rounding(surroundings(model), columns, raw)).all()
    if (intervals := model.record.intervals) is not None:
        here = library(name, model).results(windows, outputs).swapaxes(0, 1)
        atol = 1 if intervals.counts else BOUNDS_APART  # a whole number more where a bound is close to one
        np.testing.assert_allclose(forecasts[:, 1:], here[:, 1:], rtol=BOUNDS_APART, atol=atol)


def program_of(windows: Windows) -> str:
    """Return a program that prints the bits of all channels, then of forecast and bounds of outputs of 0.5."""
    times = np.zeros(len(windows), np.int64) if windows.time is None else windows.time
    numbers = ", ".join(f"0x{bits:08x}u" for bits in windows.values.reshape(-1).view(np.uint32).tolist())
    return f"""#include "micro_io.h"
#include <stdio.h>
#define SIZE (MICRO_CONTEXT * MICRO_MEASURED)
typedef union {{ uint32_t u; float f; }} bits;
static const uint32_t VALUES[{len(windows)} * SIZE] = {{{numbers}}};
static const int64_t TIMES[] = {{{", ".join(f"INT64_C({time})" for time in times.tolist())}}};
static float values[SIZE], channels[MICRO_WINDOW * MICRO_CHANNELS], output[MICRO_HORIZON], found[3][MICRO_HORIZON];
static void show(const float *from, int count) {{
    bits one;
    for (; count--; from++) {{ one.f = *from; printf("%08lx\\n", (unsigned long)one.u); }}
}}
static void take(int i) {{
    bits one;
    int j;
    for (j = 0; j < SIZE; j++) {{ one.u = VALUES[i * SIZE + j]; values[j] = one.f; }}
}}
int main(void) {{
    int i, j;
    for (i = 0; i < {len(windows)}; i++) {{
        take(i);
        if (micro_input(values, TIMES[i], channels)) return 1;
        show(channels, MICRO_WINDOW * MICRO_CHANNELS);
    }}
    for (i = 0; i < {len(windows)}; i++) {{
        take(i);
        for (j = 0; j < MICRO_HORIZON; j++) output[j] = 0.5f;
        micro_output(values, TIMES[i], output, found[0], found[1], found[2]);
        show(found[0], 3 * MICRO_HORIZON);
    }}
    return 0;
}}
"""
