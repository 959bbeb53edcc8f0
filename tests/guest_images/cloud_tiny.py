"""The tiny guest as an image for clouds: a whole disk that reads a config drive or the metadata service, and uses DHCP.

``python -m tests.guest_images.cloud_tiny DIRECTORY`` builds ``cloud.qcow2`` there. In the place of cloud-init, a script reads the
part of ``#cloud-config`` that pragmaspec writes: host name, host key, files and commands.
"""

import argparse
import hashlib
import tempfile
from pathlib import Path

from pragmaspec.images.debian import initramfs
from tests.guest_images import bootable, tiny

ROOT = Path(__file__).parent / "cloud_root"
MODULES = ["virtio_scsi", "ata_piix", "sd_mod", "sr_mod"]
"""Disks and CD-ROMs of clouds, beside those of the tiny guest."""


def build_cloud_tiny(directory: Path) -> Path:
    """Return the qcow2 disk ``cloud.qcow2`` in ``directory``, and build it unless it exists with the same recipe."""
    image = tiny.build_tiny(directory / "tiny")
    disk, done = directory / "cloud.qcow2", directory / "recipe"
    recipe = _recipe(directory / "tiny" / "recipe")
    with tiny.locked(directory / ".lock"):
        if not (done.exists() and done.read_text() == recipe):
            done.unlink(missing_ok=True)
            with tempfile.TemporaryDirectory(dir=directory) as scratch:
                _build(image, Path(scratch)).rename(disk)
            done.write_text(recipe)
    return disk


def _build(image: tiny.TinyImage, scratch: Path) -> Path:
    packages = scratch / "packages"
    tiny.unpack(packages)
    (modules,) = packages.glob("lib/modules/*")
    order = initramfs.load_order(modules, [*tiny.START_MODULES, *MODULES])
    members = [initramfs.cpio_file(f"lib/modules/{module.name}", module.read_bytes()) for module in order]
    members.append(initramfs.cpio_file("lib/modules/boot.order", tiny.names(order)))
    members += [initramfs.cpio_file(f"etc/{file.name}", file.read_bytes(), 0o755) for file in sorted(ROOT.iterdir())]
    raw = bootable.build_disk(image, scratch, initramfs.cpio_archive(members))
    disk = scratch / "cloud.qcow2"
    bootable.run("qemu-img", "convert", "-q", "-f", "raw", "-O", "qcow2", raw, disk)
    return disk


def _recipe(tiny_recipe: Path) -> str:
    parts = (tiny_recipe, Path(__file__), Path(bootable.__file__), *sorted(ROOT.iterdir()))
    return hashlib.sha256(b"\0".join(path.read_bytes() for path in parts)).hexdigest() + "\n"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("directory", type=Path)
    print(build_cloud_tiny(parser.parse_args().directory))  # noqa: T201 - a command's answer
