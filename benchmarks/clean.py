"""Remove the remains of killed benchmarks from this machine. Every benchmark also does this before it starts.

python benchmarks/clean.py
"""

import sys
from pathlib import Path

from libvirt_cleanup import clear_libvirt
from scratch import ON_DISK, scratch

sys.path.insert(0, str(Path(__file__).parents[1]))
from tests.second_host import remove_hosts


def main() -> None:
    for directory, remove in ((None, clear_libvirt), (ON_DISK, remove_hosts)):
        with scratch(directory, remove=remove):
            pass
    print("No remains of benchmarks are left.")


if __name__ == "__main__":
    main()
