"""The measuring child: `python -m pulsecast_bench.measuring.worker PARENT SPAWNED_NS PROCESSOR MODULE BUNDLE REQUEST`.

One process is one repeat of one case, so that nothing that an engine leaves behind reaches another measurement.
It prints a `Run` or `ScenarioRun` as one line of JSON. The imports at the top are few on purpose: importing is a
measured phase.
"""

import os
import sys
import time


def main(arguments: list[str]) -> int:
    """Measure the case that REQUEST describes; PARENT's clock showed SPAWNED_NS just before it made this process.

    PROCESSOR is the one to stay on, or "any"; MODULE is what is imported to run the case, an engine with it.
    """
    begun_ns = time.perf_counter_ns()  # the clock is the system's: the parent's reading compares
    parent, spawned_ns, processor, module, bundle, request = arguments
    from pulsecast.stages.parent import die_with_parent

    die_with_parent(int(parent))
    if processor != "any":
        os.sched_setaffinity(0, {int(processor)})  # before an engine counts processors and starts threads
    said = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # an engine that prints to stdout does not get into the answer
    from importlib import import_module

    import_module(module)
    imported_ns = time.perf_counter_ns()
    from pulsecast.errors import PulsecastError

    from .phases import answer

    try:
        text = answer(bundle, request, start_ns=begun_ns - int(spawned_ns), import_ns=imported_ns - begun_ns)
    except PulsecastError as error:
        print(error, file=sys.stderr)
        return 1
    print(text, file=said, flush=True)
    os._exit(0)  # all is said; taking an engine apart takes up to a second and measures nothing


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
