"""The measuring child: `python -m pulsecast_bench.measuring.worker PARENT SPAWNED_NS PROCESSOR MODULE BUNDLE REQUEST`.

One process is one repeat of one case, so that no state of an engine reaches another measurement.
It prints a `Run` or `ScenarioRun` as one line of JSON. There are few imports at the top on purpose: the import is a
measured phase.
"""

import os
import sys
import time


def main(arguments: list[str]) -> int:
    """Measure the case that REQUEST describes; PARENT's clock showed SPAWNED_NS just before it made this process.

    PROCESSOR is the processor to run on, or "any"; MODULE is imported to run the case, with its engine.
    """
    begun_ns = time.perf_counter_ns()  # the system's clock: comparable with the parent's reading
    parent, spawned_ns, processor, module, bundle, request = arguments
    from pulsecast.stages.parent import die_with_parent

    die_with_parent(int(parent))
    if processor != "any":
        os.sched_setaffinity(0, {int(processor)})  # before an engine counts processors and starts threads
    said = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # an engine that prints to stdout does not damage the answer
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
    os._exit(0)  # the answer is complete; an engine's shutdown takes up to a second and is not measured


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
