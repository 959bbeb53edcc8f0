"""Ubuntu images: what is asked of mmdebstrap, tried on a small archive of our own with Ubuntu's layout."""

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pragmaspec.errors import ImageError
from pragmaspec.images.debian import recipe
from pragmaspec.images.debian.bootstrap import BootstrapRequest, build_environment, mmdebstrap_command, privileges, search_path
from pragmaspec.images.debian.distribution import UBUNTU, find_keyring, source_lines
from pragmaspec.images.sources.debian import DebianSource
from pragmaspec.images.sources.registry import source_of
from pragmaspec.spec.models.image import ImageModel
from tests.images.debian.apt_archive import ESSENTIAL, write_archive
from tests.images.openpgp import Key, keys, make_key

HERE = Path(__file__).parent
SUITES = ("noble", "noble-updates", "noble-security")


@pytest.fixture
def key() -> Iterator[Key]:
    with keys() as home:
        yield make_key(home, "ubuntu")


def order(sources: tuple[str, ...], keyring: Path | None, *more: str) -> BootstrapRequest:
    return BootstrapRequest(suite="noble", packages=(*UBUNTU.packages, *more), sources=sources, mode="root", keyring=keyring)


def test_the_command_for_mmdebstrap_equals_the_golden_one(golden: Callable[[Path, str], None]) -> None:
    sources = source_lines("noble", None, None, UBUNTU)
    words = mmdebstrap_command(order(sources, Path("x"), "openmpi-bin"), Path("SETTINGS"), Path("KEYRING"))
    golden(HERE / "golden" / "ubuntu-mmdebstrap.txt", "".join(f"{word}\n" for word in words))


def simulated(asked: BootstrapRequest, settings: Path) -> subprocess.CompletedProcess[str]:
    """mmdebstrap, apt and its signatures in earnest; the packages themselves are only worked out."""
    words = mmdebstrap_command(asked, settings, asked.keyring)
    words[1] = f"--mode={privileges(search_path())[0]}"
    settings.write_text('APT::Sandbox::User "root";\n')
    return subprocess.run(
        [words[0], "--simulate", "--verbose", "--architectures=amd64", *words[1:]],
        env=build_environment(),
        capture_output=True,
        text=True,
        check=False,
    )


def archive(root: Path, key: Key, left_out: str = "") -> str:
    base = tuple(name for name in (*ESSENTIAL, "apt", *UBUNTU.packages) if name != left_out)
    components = {"main": base, "universe": ("openmpi-bin",)}
    return write_archive(root, dict.fromkeys(SUITES, components), key, "Ubuntu")


def test_signed_packages_of_main_and_universe_are_found(tmp_path: Path, key: Key) -> None:
    keyring = tmp_path / "keyring.asc"
    keyring.write_bytes(key.public())
    sources = source_lines("noble", archive(tmp_path / "archive", key), None, UBUNTU)
    assert [line.split()[2:] for line in sources] == [[suite, "main", "universe"] for suite in SUITES]
    done = simulated(order(sources, keyring, "openmpi-bin"), tmp_path / "settings")
    assert done.returncode == 0, done.stderr
    for name in (*UBUNTU.packages, "openmpi-bin"):
        assert f"Inst {name} (1.0 " in done.stdout + done.stderr


def test_packages_signed_by_another_key_are_rejected(tmp_path: Path, key: Key) -> None:
    keyring = tmp_path / "keyring.asc"
    keyring.write_bytes(make_key(key.home, "other").public())
    sources = source_lines("noble", archive(tmp_path / "archive", key), None, UBUNTU)
    done = simulated(order(sources, keyring), tmp_path / "settings")
    assert done.returncode != 0
    assert "NO_PUBKEY" in done.stderr


def test_a_missing_package_is_reported_by_name(tmp_path: Path, key: Key) -> None:
    keyring = tmp_path / "keyring.asc"
    keyring.write_bytes(key.public())
    sources = source_lines("noble", archive(tmp_path / "archive", key, "nftables"), None, UBUNTU)
    done = simulated(order(sources, keyring), tmp_path / "settings")
    assert done.returncode != 0
    assert "nftables" in done.stderr


def test_snapshots_default_to_ubuntus_service() -> None:
    base = "https://snapshot.ubuntu.com/ubuntu/20261101T000000Z/"
    assert source_lines("noble", None, "20261101T000000Z", UBUNTU) == tuple(
        f"deb [check-valid-until=no] {base} {suite} main universe" for suite in SUITES
    )


def test_a_missing_keyring_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"keys of Ubuntu's archive are expected in .*absent.gpg, which cannot be read"):
        find_keyring(UBUNTU, str(tmp_path / "absent.gpg"))
    (tmp_path / "keys.gpg").write_bytes(b"")
    assert find_keyring(UBUNTU, str(tmp_path / "keys.gpg")) == tmp_path / "keys.gpg"


def test_the_spec_selects_the_distribution(tmp_path: Path) -> None:
    model = ImageModel.model_validate({"build": {"ubuntu": "noble", "keyring": "./keys.gpg", "packages": ["openmpi-bin"]}})
    source = source_of(model, tmp_path)
    assert source == DebianSource(
        suite="noble", packages=("openmpi-bin",), distribution="ubuntu", keyring=str(tmp_path / "keys.gpg")
    )
    assert source.origin() == "built from Ubuntu noble packages"
    assert source.described() != DebianSource(suite="noble", packages=("openmpi-bin",)).described()
    elsewhere = DebianSource(suite="noble", packages=("openmpi-bin",), distribution="ubuntu", keyring="/elsewhere/keys.gpg")
    assert source.described() == elsewhere.described(), "where the keys are kept is each person's own affair"


def test_differences_from_debian_in_the_image() -> None:
    debian, ubuntu = ({file.path: file for file in recipe.recipe_files(quick=quick)} for quick in (True, False))
    assert ubuntu["etc/resolv.conf"].target == "../run/systemd/resolve/stub-resolv.conf"
    assert not any("cloud-init-stages" in file.content for file in ubuntu.values())
    assert {path for path in ubuntu if path not in debian} == {"etc/systemd/system/sysinit.target.wants/systemd-resolved.service"}
    assert "linux-image-virtual" in UBUNTU.packages
    assert recipe.KERNEL_PACKAGE not in UBUNTU.packages
