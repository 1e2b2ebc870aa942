"""The measuring child: `python -m pulsecast_bench.worker PARENT SPAWNED_NS BACKEND BUNDLE REQUEST`.

One process is one repeat of one case, so that nothing that an engine leaves behind reaches another measurement.
It prints a `Run` as one line of JSON. The imports at the top are few on purpose: importing is a measured phase.
"""

import os
import sys
import time


def main(arguments: list[str]) -> int:
    """Measure the case that REQUEST describes; PARENT's clock showed SPAWNED_NS just before it made this process."""
    begun_ns = time.perf_counter_ns()  # the clock is the system's: the parent's reading compares
    parent, spawned_ns, backend, bundle, request = arguments
    from pulsecast.parent import die_with_parent

    die_with_parent(int(parent))
    from importlib import import_module

    from pulsecast.backends import BACKENDS

    import_module(BACKENDS[backend].module, "pulsecast.backends")
    imported_ns = time.perf_counter_ns()
    from pulsecast.errors import PulsecastError

    from .measuring import answer

    try:
        text = answer(bundle, request, start_ns=begun_ns - int(spawned_ns), import_ns=imported_ns - begun_ns)
    except PulsecastError as error:
        print(error, file=sys.stderr)
        return 1
    print(text, flush=True)
    os._exit(0)  # all is said; taking an engine apart takes up to a second and measures nothing


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
