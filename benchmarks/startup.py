"""Start-up time of the command, compared with its lower bounds: Python itself and the imports of libraries.

    python benchmarks/startup.py [--rounds 15] [--stack DIRECTORY]

``--stack``: a directory with an applied spec, to time its empty plan (for example at a libvirt site). Default: a temporary
cluster of three nodes at a simulated site.
"""

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path

from measure import home_in, machine, pragmaspec, run, table, take_turns
from scratch import scratch

SPEC = """\
images:
  blank: {source: ./blank.raw, format: raw, kernel: ./blank.raw}
sites:
  lab: {provider: simulated, file: ./lab.jsonl}
clusters:
  hello:
    site: lab
    image: blank
    readiness: none
    computes: {count: 2}
"""
FLOORS = {
    "python -c pass": "pass",
    "import msgspec": "import msgspec",
    "import typer": "import typer",
    "import libvirt": "import libvirt",
    "import ruamel.yaml": "import ruamel.yaml",
    "import pydantic, one model": "from pydantic import BaseModel\nclass M(BaseModel):\n    x: int",
    "import deepdiff": "import deepdiff",
    "import requests": "import requests",
}


def main() -> None:
    arguments = _arguments()
    print(machine())
    with scratch() as folder:
        env = None if arguments.stack else home_in(folder)
        stack = arguments.stack or applied_stack(folder, env or {})
        commands = {name: [sys.executable, "-c", code] for name, code in FLOORS.items()}
        commands |= {
            "pragmaspec --version": [pragmaspec(), "--version"],
            "pragmaspec --help": [pragmaspec(), "--help"],
            "pragmaspec validate": [pragmaspec(), "validate", "cluster.yaml"],
            "pragmaspec plan (no changes)": [pragmaspec(), "plan", "cluster.yaml"],
        }
        runs = take_turns(commands, arguments.rounds, cwd=stack, env=env)
    floor_s = runs["python -c pass"].fastest_s
    rows = [
        (
            name,
            f"{each.fastest_s * 1000:.0f}",
            f"{each.median_s * 1000:.0f}",
            f"{each.fastest_s / floor_s:.1f}",
            f"{each.memory_mib:.0f}",
        )
        for name, each in runs.items()
    ]
    print(table(("", "fastest ms", "median ms", "x python", "peak MiB"), rows))


def applied_stack(directory: Path, env: Mapping[str, str]) -> Path:
    """Return a directory with an applied spec, so that its plan is empty."""
    (directory / "cluster.yaml").write_text(SPEC)
    (directory / "blank.raw").write_bytes(bytes(2**20))
    run([pragmaspec(), "apply", "cluster.yaml", "--auto-approve"], cwd=directory, env=env)
    return directory


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--stack", type=Path)
    return parser.parse_args()


if __name__ == "__main__":
    main()
