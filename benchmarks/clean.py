"""Remove what benchmarks that were killed have left on this machine. Every benchmark does so too, before it begins.

python benchmarks/clean.py
"""

import sys
from pathlib import Path

from at_libvirt import clear_libvirt
from remains import ON_DISK, scratch

sys.path.insert(0, str(Path(__file__).parents[1]))
from tests.second_host import remove_hosts


def main() -> None:
    for directory, made in ((None, clear_libvirt), (ON_DISK, remove_hosts)):
        with scratch(directory, made=made):
            pass
    print("Nothing of a benchmark is left.")


if __name__ == "__main__":
    main()
