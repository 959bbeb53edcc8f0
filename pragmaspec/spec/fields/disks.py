"""Field types for disks: their names, mount points, and names of volumes."""

import re

from pragmaspec.spec.fields.scalars import ScalarField, boolean, name
from pragmaspec.spec.value_errors import value_error, value_text
from pragmaspec.spec.yaml.scalars import FALSES, OLD_BOOLEANS, TRUES, Plain

# A virtio disk has a serial number of at most 20 bytes (VIRTIO 1.2, section 5.2.6.1).
VOLUME_NAME_MAX = 84
"""Length of the longest name that a volume gets from its node (63 characters), a hyphen, and its disk (20)."""
DISK_NAME_PATTERN = "^[a-z]([a-z0-9-]{0,18}[a-z0-9])?$"
MOUNT_PATTERN = r"^(/[A-Za-z0-9][A-Za-z0-9._-]*)+$"
_MOUNT_MAX = 200
_SYSTEM = frozenset(
    ("/bin", "/boot", "/dev", "/etc", "/lib", "/lib32", "/lib64", "/libx32", "/proc", "/root", "/run", "/sbin", "/sys", "/usr")
) | {"/var"}
"""Directories that a system needs to boot or to be logged in to, so that a file system must not hide them."""
_VIRTUAL = ("/dev/", "/proc/", "/sys/")


def disk_name() -> ScalarField:
    """Return a field type for names of disks."""

    def read(value: object) -> str:
        if not isinstance(value, str) or not re.match(DISK_NAME_PATTERN.removesuffix("$") + r"\Z", value):
            raise value_error(
                "Invalid name",
                "names of disks consist of a to z, digits and hyphens, begin with a letter, end with a letter or digit, and have "
                "at most 20 characters",
            )
        return str(value)

    return ScalarField(read, {"type": "string", "pattern": DISK_NAME_PATTERN})


def mount_point() -> ScalarField:
    """Return a field type for mount points: absolute paths that hide no directory of the system."""

    def read(value: object) -> str:
        if not isinstance(value, str) or len(value) > _MOUNT_MAX or not re.match(MOUNT_PATTERN.removesuffix("$") + r"\Z", value):
            raise value_error(
                "Invalid mount point",
                f"{value_text(value)} is not valid here; write an absolute path such as /scratch, of letters, digits, dots, "
                "hyphens and underscores",
            )
        if value in _SYSTEM or value.startswith(_VIRTUAL):
            raise value_error(
                "Invalid mount point", f"{value} belongs to the system, which the disk would hide; write another directory"
            )
        return str(value)

    return ScalarField(read, {"type": "string", "pattern": MOUNT_PATTERN})


def volume_choice() -> ScalarField:
    """Return a field type for ``keep``: a boolean, or the name of a volume."""
    flag, volume = boolean(), name(VOLUME_NAME_MAX)

    def read(value: object) -> object:
        is_word = isinstance(value, str) and (value in OLD_BOOLEANS or value.lower() in ("true", "false"))
        if isinstance(value, bool) or is_word or (isinstance(value, Plain) and value in TRUES | FALSES):
            return flag.read(value)
        return volume.read(value)

    return ScalarField(read, {"anyOf": [{"type": "boolean"}, volume.schema]})
