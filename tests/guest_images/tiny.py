"""A tiny Linux guest built from Debian packages: kernel, initramfs with busybox and dropbear, a small disk with OpenSSH's client.

``python tests/guest_images/tiny.py DIRECTORY`` builds it. It boots in about four seconds under emulation, reads ``guest.tar``
from a disk labelled ``cidata``, configures its interfaces from ``/etc/pragmaspec/interfaces`` and answers ssh.
"""

import argparse
import fcntl
import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pragmaspec.images.debian import ext4, initramfs

HERE = Path(__file__).parent
EPOCH = 1_700_000_000
KERNEL = "linux-image-cloud-amd64"
START_PACKAGES = ["busybox-static", "dropbear-bin", "libc6", "libcrypt1", "libgmp10", "libtomcrypt1", "libtommath1", "zlib1g"]
DISK_PACKAGES = [
    "openssh-client",
    "nftables",
    "libbsd0",
    "libcom-err2",
    "libedit2",
    "libgssapi-krb5-2",
    "libjansson4",
    "libk5crypto3",
    "libkeyutils1",
    "libkrb5-3",
    "libkrb5support0",
    "libmd0",
    "libmnl0",
    "libnftables1",
    "libnftnl11",
    "libpcre2-8-0",
    "libselinux1",
    "libssl3",
    "libtinfo6",
    "libxtables12",
]
START_MODULES = ["virtio_pci", "virtio_blk", "virtio_net", "virtio_rng", "cdrom", "isofs", "evdev", "button"]
NAT_MODULES = ["nft_chain_nat", "nft_masq", "nft_ct"]
EMPTY = ("dev", "proc", "sys", "run", "seed", "disk", "etc/dropbear", "etc/ssh", "var/log", "home")
START_PROGRAMS = ("usr/sbin/dropbear", "usr/bin/dropbearconvert", "usr/bin/dropbearkey")
DISK_PROGRAMS = ("usr/bin/ssh", "usr/bin/ssh-keygen", "usr/sbin/nft")
LOADER = "lib64/ld-linux-x86-64.so.2"
DISK_BYTES = 32 * 2**20


@dataclass(frozen=True)
class TinyImage:
    """The files of a built guest, and its kernel command line."""

    vmlinuz: Path
    initrd: Path
    disk: Path
    cmdline: str = "console=ttyS0 quiet acpi=noirq"
    """Without ACPI interrupt routing, an emulated boot is 2 s shorter; the power button still works."""


def build_tiny(directory: Path, packages: Path | None = None) -> TinyImage:
    """Return the guest's files in ``directory``, and build them unless they exist with the same recipe.

    Debian packages are downloaded once and cached in ``packages`` (default: one directory for all builds of this user).
    """
    directory.mkdir(parents=True, exist_ok=True)
    image = TinyImage(vmlinuz=directory / "vmlinuz", initrd=directory / "initrd", disk=directory / "disk.qcow2")
    done = directory / "recipe"
    recipe = _recipe()
    with locked(directory / ".lock"):
        if not (done.exists() and done.read_text() == recipe):
            done.unlink(missing_ok=True)
            with tempfile.TemporaryDirectory(dir=directory) as scratch:
                _build(directory, Path(scratch), packages or _package_cache())
            done.write_text(recipe)
    return image


def _build(directory: Path, scratch: Path, cache: Path) -> None:
    root = scratch / "root"
    unpack(root, cache)
    (kernel,) = root.glob("boot/vmlinuz-*")
    (modules,) = root.glob("lib/modules/*")
    made = scratch / "made"
    made.mkdir()
    shutil.copyfile(kernel, made / "vmlinuz")
    # Not compressed: for an emulated processor, decompression takes longer than reading.
    (made / "initrd").write_bytes(initramfs.cpio_archive(_start_members(root, modules)))
    _write_disk(made / "disk.qcow2", root, modules, scratch)
    for file in made.iterdir():
        file.rename(directory / file.name)


def unpack(root: Path, cache: Path | None = None) -> None:
    """Unpack the Debian packages of the guest into the new directory ``root``."""
    root.mkdir()
    for package in _fetched([*START_PACKAGES, *DISK_PACKAGES, *_kernel_packages()], cache or _package_cache()):
        subprocess.run(["dpkg-deb", "-x", str(package), str(root)], check=True)


def applets(root: Path) -> list[str]:
    """Return the paths of busybox's applets, without busybox itself."""
    listed = subprocess.run([root / "bin/busybox", "--list-full"], check=True, capture_output=True, text=True).stdout.split()
    return [applet for applet in listed if applet not in {"bin/busybox", "usr/bin/busybox"}]


def _start_members(root: Path, modules: Path) -> Iterator[initramfs.CpioEntry]:
    yield from (initramfs.cpio_directory(path) for path in EMPTY)
    yield from (initramfs.cpio_directory("root", 0o700), initramfs.cpio_directory("tmp", 0o1777))
    yield initramfs.cpio_file("bin/busybox", (root / "bin/busybox").read_bytes(), 0o755)
    yield from (initramfs.cpio_link(applet, "/bin/busybox") for applet in applets(root))
    yield initramfs.cpio_link("init", "/bin/busybox")
    for name, mode in (("inittab", 0o644), ("rc", 0o755)):
        yield initramfs.cpio_file(f"etc/{name}", (HERE / "tiny_root" / name).read_bytes(), mode)
    yield initramfs.cpio_file("etc/passwd", b"root:x:0:0:root:/root:/bin/sh\nsshd:x:100:65534::/run:/bin/false\n")
    yield initramfs.cpio_file("etc/group", b"root:x:0:\nnogroup:x:65534:\n")
    yield initramfs.cpio_file("etc/shells", b"/bin/sh\n")
    yield initramfs.cpio_file("etc/nsswitch.conf", b"hosts: files dns\n")
    yield initramfs.cpio_file("etc/profile", b"export PATH=/usr/sbin:/usr/bin:/sbin:/bin\n")
    for program in START_PROGRAMS:
        yield initramfs.cpio_file(program, (root / program).resolve().read_bytes(), 0o755)
    loaded = libraries(root, START_PROGRAMS)
    yield initramfs.cpio_file(LOADER, (root / LOADER).resolve().read_bytes(), 0o755)
    yield from (initramfs.cpio_file(f"lib/x86_64-linux-gnu/{name}", path.read_bytes(), 0o755) for name, path in loaded.items())
    yield initramfs.cpio_link("usr/lib/x86_64-linux-gnu", "/disk/lib")
    yield from (initramfs.cpio_link(program, f"/disk/bin/{Path(program).name}") for program in DISK_PROGRAMS)
    order = initramfs.load_order(modules, START_MODULES)
    yield from (initramfs.cpio_file(f"lib/modules/{module.name}", module.read_bytes()) for module in order)
    yield initramfs.cpio_file("lib/modules/boot.order", names(order))


def _write_disk(disk: Path, root: Path, modules: Path, scratch: Path) -> None:
    tree = scratch / "disk"
    for directory in ("bin", "lib", "modules"):
        (tree / directory).mkdir(parents=True)
    for program in DISK_PROGRAMS:
        shutil.copy(root / program, tree / "bin")
    at_start = libraries(root, START_PROGRAMS)
    for name, path in libraries(root, DISK_PROGRAMS).items():
        if name not in at_start:
            shutil.copyfile(path, tree / "lib" / name)
    order = initramfs.load_order(modules, NAT_MODULES)
    for module in order:
        shutil.copy(module, tree / "modules")
    (tree / "modules" / "nat.order").write_bytes(names(order))
    for path in (tree, *tree.rglob("*")):
        os.utime(path, (EPOCH, EPOCH))
    raw = scratch / "disk.raw"
    ext4.make_ext4(tree, raw, size_bytes=DISK_BYTES, seed="tiny", epoch=EPOCH, label="tiny")
    subprocess.run(["qemu-img", "convert", "-q", "-f", "raw", "-O", "qcow2", str(raw), str(disk)], check=True)


def libraries(root: Path, programs: Iterable[str]) -> dict[str, Path]:
    """Return the shared libraries of ``programs`` by name, as found by the packages' own dynamic loader."""
    found = {}
    where = ":".join(str(root / path) for path in ("lib/x86_64-linux-gnu", "usr/lib/x86_64-linux-gnu"))
    for program in programs:
        listed = subprocess.run(
            [root / LOADER, "--inhibit-cache", "--library-path", where, "--list", root / program],
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        for line in listed.splitlines():
            name, arrow, rest = line.strip().partition(" => ")
            if arrow and rest.startswith(str(root)):
                found[name] = Path(rest.rpartition(" (")[0]).resolve()
            elif arrow and "/ld-linux" not in name:
                raise RuntimeError(f"{program} needs {name}, which is in none of the packages listed here ({rest})")
    return found


def names(modules: Iterable[Path]) -> bytes:
    """Return module names, one per line, as read by the guest's start script."""
    return "".join(f"{module.stem}\n" for module in modules).encode()


def _kernel_packages() -> list[str]:
    shown = subprocess.run(["apt-cache", "depends", "--important", KERNEL], check=True, capture_output=True, text=True).stdout
    return [line.split()[-1] for line in shown.splitlines() if "Depends: linux-image-" in line]


def _fetched(names: Iterable[str], cache: Path) -> list[Path]:
    """Return the package files, downloaded with apt-get unless they are in ``cache``."""
    cache.mkdir(parents=True, exist_ok=True)
    with locked(cache / ".lock"):
        missing = [name for name in names if not list(cache.glob(f"{name}_*.deb"))]
        if missing:
            with tempfile.TemporaryDirectory(dir=cache) as scratch:
                _download(missing, Path(scratch))
                for package in Path(scratch).glob("*.deb"):
                    package.rename(cache / package.name)
        return [max(cache.glob(f"{name}_*.deb")) for name in names]


def _download(names: Iterable[str], directory: Path) -> None:
    done = subprocess.run(
        ["apt-get", "download", "-q", "-o", "APT::Sandbox::User=root", *names],
        cwd=directory,
        check=False,
        capture_output=True,
        text=True,
    )
    if done.returncode != 0:
        raise RuntimeError(
            f"The tiny guest's packages cannot be downloaded; run apt-get update first. apt-get: {done.stderr.strip()}"
        )


def _package_cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "pragmaspec-tests" / "packages"


def _recipe() -> str:
    code = (Path(module.__file__ or "") for module in (ext4, initramfs))
    parts = (Path(__file__), *code, *sorted((HERE / "tiny_root").iterdir()))
    return hashlib.sha256(b"\0".join(path.read_bytes() for path in parts)).hexdigest() + "\n"


@contextmanager
def locked(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("directory", type=Path)
    built = build_tiny(parser.parse_args().directory)
    print(built.vmlinuz, built.initrd, built.disk, sep="\n")  # noqa: T201 - a command's answer
