import io
import os
import subprocess
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pragmaspec.errors import ImageError
from pragmaspec.images.debian import recipe
from pragmaspec.images.debian.bootstrap import PROGRAMS, BootstrapRequest, bootstrap, check_tools, privileges, search_path
from pragmaspec.images.debian.disk import build_disk, build_initramfs, overlay_archive
from pragmaspec.images.debian.distribution import lines_for_suite, source_lines
from pragmaspec.images.sources.debian import DebianSource

HERE = Path(__file__).parent


def test_the_added_files_equal_the_golden_list(golden: Callable[[Path, str], None]) -> None:
    lines = []
    with tarfile.open(fileobj=io.BytesIO(overlay_archive())) as archive:
        for entry in archive:
            assert (entry.uid, entry.gid, entry.mtime) == (0, 0, recipe.EPOCH)
            if entry.issym():
                lines.append(f"{entry.name} -> {entry.linkname}")
                continue
            stream = archive.extractfile(entry)
            assert stream is not None
            text = stream.read().decode()
            lines.append(f"{entry.name} {entry.mode:04o}")
            lines.extend(f"    {line}".rstrip() for line in text.splitlines() if entry.mode == 0o644)
    golden(HERE / "golden" / "debian-overlay.txt", "\n".join(lines) + "\n")


def test_the_overlay_archive_is_reproducible() -> None:
    assert overlay_archive() == overlay_archive()


@pytest.mark.parametrize("name", ["start", "cloud-init-stage", "network-settle", "network-leases"])
def test_the_scripts_are_valid_shell(name: str, tmp_path: Path) -> None:
    script = tmp_path / name
    script.write_text(recipe.data_file(name))
    assert subprocess.run(["sh", "-n", str(script)], check=False, capture_output=True).stderr == b""


def test_matches_by_address_lose_their_name(tmp_path: Path) -> None:
    """network-settle on what cloud-init 22.4 writes, in a root of its own."""
    network = tmp_path / "etc" / "systemd" / "network"
    network.mkdir(parents=True)
    private, named = network / "10-cloud-init-private.network", network / "10-cloud-init-other.network"
    private.write_text(
        "[Address]\nAddress=10.22.0.10/24\n\n[Match]\nMACAddress=52:54:00:00:00:10\nName=private\n\n[Network]\nDHCP=no\nDNS=10.0.2.3\n"
        "Domains=local\n\n"
    )
    named.write_text("[Match]\nName=eth9\n\n[Network]\nDHCP=ipv4\n")
    script = tmp_path / "settle"
    script.write_text(recipe.data_file("network-settle").replace("/etc/", f"{tmp_path}/etc/"))
    subprocess.run(["sh", str(script)], check=True)
    assert "Name=" not in private.read_text()
    assert "MACAddress=52:54:00:00:00:10" in private.read_text()
    assert named.read_text() == "[Match]\nName=eth9\n\n[Network]\nDHCP=ipv4\n"
    assert (tmp_path / "etc" / "resolv.conf").read_text() == "nameserver 10.0.2.3\nsearch local\n"


LEASE = "OPER_STATE=routable\nDNS=10.0.0.2 10.0.0.3\nDOMAINS=local\n"
BY_DHCP, STATIC = "[Network]\nDHCP=ipv4\n", "[Network]\nDHCP=no\nDNS=10.0.2.3\n"


@pytest.mark.parametrize(
    ("network", "state", "expected"),
    [
        (BY_DHCP, LEASE, "nameserver 10.0.0.2\nnameserver 10.0.0.3\nsearch local\n"),
        (BY_DHCP, "OPER_STATE=routable\n", "nameserver 10.0.2.3\n"),
        (STATIC, LEASE, "nameserver 10.0.2.3\n"),
    ],
)
def test_name_servers_of_leases_are_written_once_they_are_known(network: str, state: str, expected: str, tmp_path: Path) -> None:
    """network-leases in a root of its own, where systemd-networkd's state changes when it is waited for."""
    for path in ("etc/systemd/network", "run/systemd/netif", "lib/systemd"):
        (tmp_path / path).mkdir(parents=True)
    (tmp_path / "etc/systemd/network/10-cloud-init-ens2.network").write_text(network)
    (tmp_path / "etc/resolv.conf").write_text("nameserver 10.0.2.3\n")
    (tmp_path / "state").write_text(state)
    wait = tmp_path / "lib/systemd/systemd-networkd-wait-online"
    wait.write_text(f"#!/bin/sh\ncp {tmp_path}/state {tmp_path}/run/systemd/netif\n")
    wait.chmod(0o755)
    script = tmp_path / "leases"
    text = recipe.data_file("network-leases")
    for path in ("/etc/", "/run/", "/lib/"):
        text = text.replace(path, f"{tmp_path}{path}")
    script.write_text(text)
    subprocess.run(["sh", str(script)], check=True)
    assert (tmp_path / "etc" / "resolv.conf").read_text() == expected


class Stages:
    """cloud-init-stages with a stand-in for cloud-init that says what it was asked for, and then does ``deed``."""

    def __init__(self, room: Path, deed: str) -> None:
        self.room = room
        (room / "cloudinit" / "cmd").mkdir(parents=True)
        (room / "cloudinit" / "cmd" / "main.py").write_text(
            f"import os, sys\nprint('imported', flush=True)\ndef main():\n    print(*sys.argv[1:], flush=True)\n    {deed}\n"
        )
        for name in ("cloud-init-stages", "cloud-init-stage"):
            text = recipe.data_file(name).replace("/run/cloud-init/stages", f"{room}/run")
            text = text.replace("/usr/lib/python3/dist-packages", str(room)).replace("/usr/bin/cloud-init", "/bin/echo")
            (room / name).write_text(text)

    def start(self) -> int:
        with (self.room / "said").open("w") as output:
            command = ["python3", "-S", str(self.room / "cloud-init-stages")]
            return subprocess.run(command, stdout=output, check=False, timeout=60).returncode

    def later(self, *argv: str) -> tuple[int, str]:
        command = ["sh", str(self.room / "cloud-init-stage"), *argv]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
        return done.returncode, done.stdout

    @property
    def said(self) -> list[str]:
        return (self.room / "said").read_text().splitlines()


def test_stages_of_cloud_init_run_in_forks_and_return_their_status(tmp_path: Path) -> None:
    stages = Stages(tmp_path, "return 3 if '--mode=config' in sys.argv else 0")
    assert stages.start() == 0
    assert stages.later("init", "init") == (0, "")
    assert stages.later("config", "modules", "--mode=config") == (3, "")
    assert stages.later("final", "modules", "--mode=final") == (0, "")
    assert stages.said == ["imported", "init --local", "init", "modules --mode=config", "modules --mode=final"]


def test_without_the_waiting_process_cloud_init_itself_is_run(tmp_path: Path) -> None:
    stages = Stages(tmp_path, "return 0")
    assert stages.later("init", "init") == (0, "init\n")


def test_a_stage_whose_process_dies_fails_without_hanging(tmp_path: Path) -> None:
    stages = Stages(tmp_path, "'--local' in sys.argv or os.kill(os.getppid(), 9)")
    assert stages.start() == 0
    assert stages.later("init", "init") == (1, "")


def test_the_initramfs_contains_the_drivers_of_the_disk(tmp_path: Path) -> None:
    for name in recipe.DISK_MODULES:
        (tmp_path / "modules").mkdir(exist_ok=True)
        (tmp_path / "modules" / f"{name}.ko").write_bytes(b"\0depends=\0")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "busybox").write_bytes(b"busybox")
    made = build_initramfs(tmp_path, tmp_path / "modules")
    assert made == build_initramfs(tmp_path, tmp_path / "modules")
    order = b"virtio_pci.ko\nvirtio_blk.ko\nvirtio_net.ko\nvirtio_rng.ko\n"
    assert order in made


LISTED = """\
bookworm http://mirror.example.org/debian/ main
bookworm http://mirror.example.org/debian/ contrib
bookworm-security http://mirror.example.org/debian-security/ main
bookworm-updates http://mirror.example.org/debian/ main
trixie http://mirror.example.org/debian/ main
stable https://packages.example.org/tool main
""".splitlines()


def test_the_mirrors_of_this_machines_apt_are_used() -> None:
    assert lines_for_suite("bookworm", LISTED) == (
        "deb http://mirror.example.org/debian/ bookworm main",
        "deb http://mirror.example.org/debian/ bookworm-updates main",
        "deb http://mirror.example.org/debian-security/ bookworm-security main",
    )
    assert lines_for_suite("trixie", LISTED) == ("deb http://mirror.example.org/debian/ trixie main",)
    assert lines_for_suite("forky", LISTED) == ()
    assert lines_for_suite("bookworm", LISTED[2:3]) == (), "updates of a suite that is not there are no system"


def test_a_mirror_and_a_snapshot_can_be_set() -> None:
    assert source_lines("trixie", "http://mirror.example.org/debian", None) == (
        "deb http://mirror.example.org/debian trixie main",
        "deb http://mirror.example.org/debian trixie-updates main",
    )
    moment = source_lines("bookworm", "https://snapshot.example.org/archive/debian/", "20261101T000000Z")
    assert moment[0] == "deb [check-valid-until=no] https://snapshot.example.org/archive/debian/20261101T000000Z/ bookworm main"
    assert moment[2].split()[2:] == [
        "https://snapshot.example.org/archive/debian-security/20261101T000000Z/", "bookworm-security", "main",
    ]  # fmt: skip
    with pytest.raises(ImageError, match="`snapshot` also requires `mirror`"):
        source_lines("bookworm", None, "20261101T000000Z")


def test_missing_programs_are_reported_with_their_packages(tmp_path: Path) -> None:
    check_tools(search_path())
    (tmp_path / "tar").touch(mode=0o755)
    with pytest.raises(ImageError, match="apt-get install e2fsprogs mmdebstrap qemu-utils"):
        check_tools(str(tmp_path))
    assert set(PROGRAMS) == {"mmdebstrap", "mkfs.ext4", "qemu-img", "tar"}


def test_without_privileges_the_error_names_the_remedies(tmp_path: Path) -> None:
    if os.geteuid() == 0:
        assert privileges(search_path()) == ("root", ())
    else:
        with pytest.raises(ImageError, match="Run the command as root"):
            privileges(str(tmp_path))


def test_a_failed_bootstrap_reports_apts_messages(tmp_path: Path) -> None:
    said: list[str] = []
    sources = (f"deb [trusted=yes] file:{tmp_path}/no-such-mirror bookworm main",)
    mode, _ = privileges(search_path())
    order = BootstrapRequest(suite="bookworm", packages=("dash",), sources=sources, mode=mode)
    with pytest.raises(ImageError, match=r"mmdebstrap failed .*no-such-mirror"):
        bootstrap(tmp_path / "system.tar", order, said.append)
    assert said == ["reading the package lists"]


def test_the_description_is_locked() -> None:
    plain = DebianSource(suite="bookworm", packages=("b", "a"))
    assert plain.described() == DebianSource(suite="bookworm", packages=("a", "b", "a")).described()
    others = [
        DebianSource(suite="trixie", packages=("a", "b")),
        DebianSource(suite="bookworm", packages=("a",)),
        DebianSource(suite="bookworm", packages=("a", "b"), mirror="http://x"),
        DebianSource(suite="bookworm", packages=("a", "b"), mirror="http://x", snapshot="20261101T000000Z"),
    ]
    assert len({source.described() for source in (plain, *others)}) == 5
    assert others[-1].origin() == "built from Debian bookworm packages of 2026-11-01"


def small_system(archive: Path, when: int) -> None:
    """What mmdebstrap would give, as far as a disk needs it; unpacked at ``when``."""
    status = "Package: dash\nStatus: install ok installed\nVersion: 1\nArchitecture: amd64\nMaintainer: x\nDescription: y\n"
    contents = {
        "./boot/vmlinuz-6.1": b"kernel",
        "./bin/busybox": b"busybox",
        "./etc/cloud/cloud.cfg": b"users:\n  - default\n",
        "./etc/systemd/system/a.service": b"",
        "./var/lib/dpkg/status": status.encode(),
        "./var/log/dpkg.log": f"{when}".encode(),
        **{f"./lib/modules/6.1/{name}.ko": b"\0depends=\0" for name in recipe.DISK_MODULES},
    }
    folders = sorted({str(parent) for path in contents for parent in Path(path).parents})
    with tarfile.open(archive, "w") as tar:
        for path in folders:
            entry = tarfile.TarInfo(f"./{path}")
            entry.type, entry.mode, entry.mtime = tarfile.DIRTYPE, 0o755, recipe.EPOCH
            tar.addfile(entry)
        for path, content in contents.items():
            entry = tarfile.TarInfo(path)
            entry.size, entry.mode, entry.mtime = len(content), 0o644, recipe.EPOCH
            tar.addfile(entry, io.BytesIO(content))


@contextmanager
def habits(monkeypatch: pytest.MonkeyPatch, umask: int, zone: str, language: str) -> Iterator[None]:
    """Another person at another machine."""
    before = os.umask(umask)
    try:
        monkeypatch.setenv("TZ", zone)
        monkeypatch.setenv("LC_ALL", language)
        yield
    finally:
        os.umask(before)


def test_equal_packages_yield_equal_disks_for_every_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, prefix = privileges(search_path())
    found = []
    for name, umask, zone, language in (("one", 0o022, "UTC", "C.UTF-8"), ("an other place", 0o077, "Asia/Tokyo", "tr_TR.UTF-8")):
        scratch = tmp_path / name
        scratch.mkdir()
        small_system(tmp_path / f"{name}.tar", len(name))
        with habits(monkeypatch, umask, zone, language):
            built = build_disk(tmp_path / f"{name}.tar", scratch, prefix, lambda _: None)
        found.append((built.disk.read_bytes(), built.kernel.read_bytes(), built.initrd.read_bytes(), built.packages))
    assert found[0][3] == ("dash=1=amd64",)
    assert found[0] == found[1]
