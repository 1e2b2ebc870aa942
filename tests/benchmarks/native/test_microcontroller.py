"""The native model's footprint on a microcontroller: the deepest chain of calls, and real figures."""

from __future__ import annotations

import pytest

from helpers import plain
from helpers.engines import require_tools
from helpers.native_models import ODD_SPEC, directory, write_sources
from pulsecast.errors import EngineError, MissingExtraError
from pulsecast_bench.native import microcontroller
from pulsecast_bench.native.microcontroller import COMPILER, SIZE, USES, deepest, footprint, lines

GRAPH = """
node: { title: "main" label: "main\\nmain.c:3:5\\n8 bytes (static)\\n0 dynamic objects" }
node: { title: "a" label: "a\\nmodel.c:3:5\\n100 bytes (static)\\n0 dynamic objects" }
node: { title: "b" label: "b\\nmodel.c:9:5\\n40 bytes (static)\\n0 dynamic objects" }
node: { title: "memset" label: "memset\\n<built-in>" shape : ellipse }
edge: { sourcename: "main" targetname: "a" label: "main.c:3:5" }
edge: { sourcename: "main" targetname: "b" label: "main.c:3:5" }
edge: { sourcename: "b" targetname: "a" label: "model.c:3:5" }
edge: { sourcename: "a" targetname: "memset" label: "model.c:3:5" }
"""


def test_the_stack_is_that_of_the_deepest_chain_of_calls() -> None:
    assert deepest(GRAPH, "main") == 8 + 40 + 100
    assert deepest(GRAPH, "a") == 100


def test_a_stack_without_a_bound_is_refused() -> None:
    with pytest.raises(EngineError, match="calls itself"):
        deepest(GRAPH + 'edge: { sourcename: "a" targetname: "b" label: "x" }', "main")
    with pytest.raises(EngineError, match="the stack of b is dynamic"):
        deepest(GRAPH.replace("40 bytes (static)", "40 bytes (dynamic)"), "main")


def test_without_the_compiler_the_error_says_what_to_install(monkeypatch, tmp_path) -> None:
    monkeypatch.setattr(microcontroller.shutil, "which", lambda name: None)
    with pytest.raises(MissingExtraError, match="install gcc-arm-none-eabi"):
        microcontroller.measure(tmp_path)


@pytest.mark.slow
def test_8_bit_weights_take_a_quarter_and_a_state_far_less_ram_than_a_stream(tmp_path) -> None:
    require_tools(COMPILER, SIZE)
    model = directory(plain.make_model(ODD_SPEC))
    found = {}
    for target in ("native", "native-w8"):
        folder = write_sources(model, target, tmp_path / target)
        found |= {(target, use): footprint(folder, target, use) for use in USES}
    weights = sum(x.kernel.size + x.recurrent.size for x in model.weights.layers)
    for use in USES:
        saved = found["native", use].flash - found["native-w8", use].flash
        assert 2 * weights < saved < 4 * weights  # 3 bytes of 4 for each, minus the scales
    step, stream = found["native", "step"], found["native", "stream"]
    assert step.ram < stream.ram / 3
    assert stream.data == 0
    assert len(lines(list(found.values()))) == 2 + 6
