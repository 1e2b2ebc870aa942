"""From a bundle to measurements, and from measurements to a report.

from pulsecast_bench import bench, compare, report
bench("bundle", out="result.json")
"""

from __future__ import annotations

from pulsecast.foundation.lazy import lazily

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .analysis.pareto import Budget
    from .device.packing import pack_bench
    from .device.remote import Device
    from .front import Benchmark, Compared, Report, bench, compare, report, save_baseline
    from .results.case import BenchConfig
    from .results.result import Result, read_result
    from .wire.server import Server

# name -> module, imported on first use: the measuring child imports this package too
_HOME = {
    "BenchConfig": "results.case",
    "Benchmark": "front",
    "Budget": "analysis.pareto",
    "Compared": "front",
    "Device": "device.remote",
    "Report": "front",
    "Result": "results.result",
    "Server": "wire.server",
    "bench": "front",
    "compare": "front",
    "pack_bench": "device.packing",
    "read_result": "results.result",
    "report": "front",
    "save_baseline": "front",
}
__all__ = [
    "BenchConfig",
    "Benchmark",
    "Budget",
    "Compared",
    "Device",
    "Report",
    "Result",
    "Server",
    "bench",
    "compare",
    "pack_bench",
    "read_result",
    "report",
    "save_baseline",
]

__getattr__, __dir__ = lazily(globals(), _HOME)
