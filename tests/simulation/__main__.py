"""Runs scenarios: ``python -m tests.simulation --seed 17`` one, with its traceback; ``--seeds 0:10000`` a range, quietly."""

import argparse
import os
import sys
import time
from concurrent.futures import ProcessPoolExecutor

from tests.simulation.scenario import Scenario


def failing(seeds: range) -> dict[int, str]:
    """Return the seeds whose scenario fails, with the errors."""
    found = {}
    for seed in seeds:
        try:
            Scenario(seed).run()
        except Exception as error:  # noqa: BLE001 - any error is a finding
            found[seed] = f"{type(error).__name__}: {error}"
    return found


def shares(seeds: range, size: int) -> list[range]:
    """Return ``seeds`` in parts of ``size``."""
    return [range(first, min(first + size, seeds.stop)) for first in range(seeds.start, seeds.stop, size)]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    chosen = parser.add_mutually_exclusive_group(required=True)
    chosen.add_argument("--seed", type=int, help="run one scenario, with its traceback")
    chosen.add_argument("--seeds", help="FIRST:LAST, excluding LAST")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="number of processes")
    arguments = parser.parse_args()
    if arguments.seed is not None:
        Scenario(arguments.seed).run()
        sys.stdout.write(f"seed {arguments.seed}: all invariants hold\n")
        return
    first, _, last = arguments.seeds.partition(":")
    raise SystemExit(_run(range(int(first), int(last)), arguments.jobs))


def _run(seeds: range, jobs: int) -> bool:
    """Run the scenarios of ``seeds`` and print the failures; return True if there are any."""
    began, failures = time.monotonic(), 0
    with ProcessPoolExecutor(jobs) as pool:
        for found in pool.map(failing, shares(seeds, 100)):
            failures += len(found)
            for seed, error in found.items():
                sys.stdout.write(f"seed {seed}: {error}\n")
                sys.stdout.flush()
    took = time.monotonic() - began
    sys.stdout.write(f"{len(seeds)} seeds, {failures} failures, {took:.1f} s\n")
    return failures > 0


if __name__ == "__main__":
    main()
