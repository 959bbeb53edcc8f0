"""Builds disk, kernel and initramfs from the tar archive of a Debian system."""

import io
import stat
import subprocess
import tarfile
from collections.abc import Callable, Sequence
from pathlib import Path

from pragmaspec.errors import ImageError
from pragmaspec.frozen import Frozen
from pragmaspec.images.debian import initramfs as cpio
from pragmaspec.images.debian import recipe
from pragmaspec.images.debian.bootstrap import UMASK, search_path
from pragmaspec.images.debian.distribution import DEBIAN, Distribution
from pragmaspec.images.debian.ext4 import make_ext4
from pragmaspec.images.debian.initramfs import load_order, module_bytes, module_name

BUSYBOX_COMMANDS = ("sh", "mount", "umount", "insmod", "switch_root", "usleep")


class BuiltImage(Frozen, frozen=True):
    """The files of a built image, and its packages as sorted lines ``name=version=architecture``."""

    disk: Path
    kernel: Path
    initrd: Path
    packages: tuple[str, ...]


def build_disk(
    archive: Path, scratch: Path, prefix: Sequence[str], report: Callable[[str], None], distribution: Distribution = DEBIAN
) -> BuiltImage:
    """Build the files below ``scratch`` from the system in ``archive``. ``prefix``: a command that runs programs as root."""
    tree = scratch / "tree"
    tree.mkdir()
    report("unpacking the archive")
    overlay = scratch / "overlay.tar"
    overlay.write_bytes(overlay_archive(quick=distribution.quick))
    _run(prefix, "sh", "-euc", _UNPACK_SCRIPT, "unpack", str(tree), str(archive), str(overlay))
    (kernel,) = (tree / "boot").glob("vmlinuz-*")
    (modules,) = (tree / "lib" / "modules").iterdir()
    built = BuiltImage(
        disk=scratch / "disk.qcow2", kernel=scratch / "vmlinuz", initrd=scratch / "initrd", packages=_packages(tree)
    )
    built.kernel.write_bytes(kernel.read_bytes())
    built.initrd.write_bytes(build_initramfs(tree, modules))
    report("making the file system")
    raw = scratch / "disk.raw"
    make_ext4(
        tree,
        raw,
        size_bytes=recipe.VIRTUAL_SIZE_BYTES,
        seed=f"{distribution.name} {recipe.VERSION}",
        epoch=recipe.EPOCH,
        label="root",
        prefix=prefix,
    )
    report("writing the disk")
    _run((), "qemu-img", "convert", "-q", "-f", "raw", "-O", "qcow2", str(raw), str(built.disk))
    raw.unlink()
    _run(prefix, "rm", "-rf", "--", str(tree))
    return built


def build_initramfs(tree: Path, modules: Path) -> bytes:
    """Return an initramfs with busybox, the drivers of the disk and a script that mounts it.

    It is not compressed: decompressing takes longer than reading.
    """
    order = load_order(modules, recipe.DISK_MODULES)
    members = [
        *(cpio.cpio_directory(path) for path in ("dev", "proc", "root")),
        cpio.cpio_file("init", recipe.data_file("start").encode(), 0o755),
        cpio.cpio_file("bin/busybox", (tree / "bin" / "busybox").read_bytes(), 0o755),
        *(cpio.cpio_link(f"bin/{command}", "busybox") for command in BUSYBOX_COMMANDS),
        *(cpio.cpio_file(f"modules/{module_name(module)}", module_bytes(module)) for module in order),
        cpio.cpio_file("modules/order", "".join(f"{module_name(module)}\n" for module in order).encode()),
    ]
    return cpio.cpio_archive(members)


def overlay_archive(*, quick: bool = True) -> bytes:
    """Return the recipe's files as a tar archive, owned by root and with the recipe's date."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for file in sorted(recipe.recipe_files(quick=quick), key=lambda file: file.path):
            entry = tarfile.TarInfo(file.path)
            entry.mtime = recipe.EPOCH
            entry.mode = stat.S_IMODE(file.mode)
            if file.target:
                entry.type, entry.linkname = tarfile.SYMTYPE, file.target
                archive.addfile(entry)
            else:
                content = file.content.encode()
                entry.size = len(content)
                archive.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


# $1: tree, $2: archive, $3: overlay. The patterns are those of the recipe, never a user's.
_UNPACK_SCRIPT = f"""
cd "$1"
tar --extract --file="$2" --numeric-owner --same-permissions --xattrs --xattrs-include='*' --exclude='./dev/*'
rm -rf -- {" ".join(recipe.REMOVED_PATTERNS)}
cd etc/systemd/system
rm -f -- {" ".join(recipe.DISABLED)}
cd ../../..
sed -i '/^users:/,/^ *- default/d' etc/cloud/cloud.cfg
tar --extract --file="$3" --numeric-owner --same-permissions --no-overwrite-dir
"""


def _packages(tree: Path) -> tuple[str, ...]:
    listed = _run(
        (), "dpkg-query", f"--admindir={tree}/var/lib/dpkg", "--show", "--showformat=${Package}=${Version}=${Architecture}\\n"
    )
    return tuple(sorted(listed.split()))


def _run(prefix: Sequence[str], *argv: str) -> str:
    result = subprocess.run(
        [*prefix, *argv],
        env={"PATH": search_path(), "LC_ALL": "C", "TZ": "UTC0"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        umask=UMASK,
    )
    if result.returncode != 0:
        raise ImageError(
            "Image cannot be built",
            f"{argv[0]} failed (status {result.returncode}): {result.stderr.strip()[-800:]} Check the free space with df.",
        )
    return result.stdout
