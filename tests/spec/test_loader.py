import os
from base64 import b64encode
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import pytest

from pragmaspec.errors import SpecError, Where
from pragmaspec.spec.loaded_spec import LoadedSpec
from pragmaspec.spec.loader import load_spec

Load = Callable[[str], LoadedSpec]


def public_key(number: int, comment: str = "") -> str:
    data = b"\0\0\0\x0bssh-ed25519\0\0\0 " + bytes([number]) * 32
    return f"ssh-ed25519 {b64encode(data).decode()} {comment}".strip()


def digest(path: Path) -> str:
    return sha256(path.read_bytes()).hexdigest()


def test_defaults_of_the_sample(load: Load, sample: str) -> None:
    spec = load(sample).model
    hello = spec.clusters["hello"]
    assert (hello.frontend.cpus, hello.frontend.memory_mib, hello.frontend.disk_bytes) == (1, 1024, None)
    assert (hello.computes.count, hello.public, hello.protect, hello.state) == (2, "pool", False, "running")
    assert (hello.readiness.when, hello.readiness.timeout_ms) == ("cloud-init", 600_000)
    assert (hello.private.range, hello.private.vlan, hello.private.domain) == (None, None, "local")
    assert spec.sites["lab"].vlans == ((20, 219),)


def test_where_returns_positions(load: Load, sample: str) -> None:
    loaded = load(sample)

    def where(*path: str) -> tuple[int, int]:
        found = loaded.where(path)
        assert found.file == loaded.file
        return found.line, found.column

    assert where() == (1, 1)
    assert where("clusters") == (7, 1)
    assert where("clusters", "hello") == (8, 3)
    assert where("clusters", "hello", "computes") == (12, 5)
    assert where("clusters", "hello", "computes", "count") == (12, 23)
    assert where("clusters", "hello", "private", "range") == (8, 3)
    assert where("sites", "lab", "provider") == (6, 15)
    assert where("sites", "moon") == (4, 1)


def test_a_cluster_may_have_no_computes(load: Load) -> None:
    spec = load(
        "images: {d: {build: {debian: sid}}}\nsites: {s: {provider: libvirt}}\nclusters: {a: {site: s, image: d}}\n"
    ).model
    assert spec.clusters["a"].computes.count == 0


def test_ten_thousand_computes_need_a_wide_range(load: Load) -> None:
    spec = load(
        "images: {d: {build: {debian: sid}}}\nsites: {s: {provider: libvirt}}\n"
        "clusters:\n  a: {site: s, image: d, private: {range: 10.64.0.0/18}, computes: {count: 10000}}\n"
        "  b: {site: s, image: d, computes: {count: 10000}}\n"
    ).model
    assert spec.clusters["a"].computes.count == 10_000


def test_a_spec_may_have_no_clusters(load: Load) -> None:
    assert load("clusters: {}\n").model.clusters == {}


def test_default_keys_are_all_existing_public_keys(load: Load, sample: str, tmp_path: Path) -> None:
    ssh = tmp_path / "home" / ".ssh"
    ssh.mkdir(parents=True)
    (ssh / "id_ed25519.pub").write_text(public_key(1, "ada@example.org") + "\n")
    (ssh / "id_rsa.pub").write_text(f"# mine\n\n{public_key(2)}\n")
    loaded = load(sample)
    assert loaded.ssh_keys["hello"] == (public_key(1, "ada@example.org"), public_key(2))
    files = dict(loaded.files)
    assert files[str(ssh / "id_ed25519.pub")] == digest(ssh / "id_ed25519.pub")
    assert files[str(ssh / "id_ecdsa.pub")] == ""


def test_a_cluster_may_have_no_keys(load: Load, sample: str, tmp_path: Path) -> None:
    (tmp_path / "home" / ".ssh").mkdir(parents=True)
    assert load(sample).ssh_keys["hello"] == ()
    assert load(sample + "    ssh_keys: []\n").ssh_keys["hello"] == ()


def test_listed_keys_replace_the_default_keys_without_duplicates(load: Load, sample: str, tmp_path: Path) -> None:
    (tmp_path / "home" / ".ssh").mkdir(parents=True)
    (tmp_path / "home" / ".ssh" / "id_rsa.pub").write_text(public_key(9))
    (tmp_path / "home" / "mine.pub").write_text(public_key(3))
    (tmp_path / "team.pub").write_text(f"{public_key(4, 'ada')}\n{public_key(5)}\n")
    keys = load(f"{sample}    ssh_keys: [./team.pub, ~/mine.pub, {public_key(4, 'again')}]\n").ssh_keys["hello"]
    assert keys == (public_key(4, "ada"), public_key(5), public_key(3))


@pytest.mark.parametrize("begin", ["#cloud-config\n", "#Cloud-Config\r\n", "\n\n#cloud-config\n", "#cloud-config  # ours\n"])
def test_the_first_line_of_a_cloud_config_is_recognised_as_by_cloud_init(
    load: Load, sample: str, tmp_path: Path, begin: str
) -> None:
    (tmp_path / "data.yaml").write_bytes(f"{begin}timezone: UTC\n".encode())
    assert load(sample + "    user_data: data.yaml\n").user_data[("hello",)] == {"timezone": "UTC"}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("#cloud-config-archive\n- content: x\n", "is an archive of several documents"),
        ("## template: jinja\n#cloud-config\n", "is a template"),
        ("#!/bin/sh\n", "does not begin with the line #cloud-config"),
        ("#include\nhttp://x\n", "does not begin with the line #cloud-config"),
    ],
)
def test_other_formats_of_user_data_are_rejected(load: Load, sample: str, tmp_path: Path, text: str, reason: str) -> None:
    (tmp_path / "data").write_text(text)
    with pytest.raises(SpecError) as caught:
        load(sample + "    user_data: data\n")
    assert [problem.detail.startswith(f"data {reason}") for problem in caught.value.problems] == [True]


def test_a_byte_order_mark_in_user_data_is_rejected(load: Load, sample: str, tmp_path: Path) -> None:
    (tmp_path / "data").write_bytes(b"\xef\xbb\xbf#cloud-config\n")
    with pytest.raises(SpecError, match="begins with a byte order mark"):
        load(sample + "    user_data: data\n")


def test_all_files_are_recorded_including_missing_ones(load: Load, sample: str, tmp_path: Path) -> None:
    (tmp_path / "data.yaml").write_text("#cloud-config\ntimezone: UTC\n")
    files = dict(load(sample + "    user_data: data.yaml\n").files)
    assert files == {
        str(tmp_path / "config" / "sites.yaml"): "",
        str(tmp_path / "data.yaml"): digest(tmp_path / "data.yaml"),
        str(tmp_path / "home" / ".ssh" / "id_ecdsa.pub"): "",
        str(tmp_path / "home" / ".ssh" / "id_ecdsa_sk.pub"): "",
        str(tmp_path / "home" / ".ssh" / "id_ed25519.pub"): digest(tmp_path / "home" / ".ssh" / "id_ed25519.pub"),
        str(tmp_path / "home" / ".ssh" / "id_ed25519_sk.pub"): "",
        str(tmp_path / "home" / ".ssh" / "id_rsa.pub"): "",
        str(tmp_path / "sites.yaml"): "",
        str(tmp_path / "spec.yaml"): digest(tmp_path / "spec.yaml"),
    }


def test_the_nearest_site_wins(load: Load, tmp_path: Path) -> None:
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "sites.yaml").write_text(
        "sites:\n" + "".join(f"  {name}: {{provider: libvirt, pool: user}}\n" for name in ("spec", "beside", "user"))
    )
    (tmp_path / "sites.yaml").write_text(
        "sites:\n" + "".join(f"  {name}: {{provider: libvirt, pool: beside}}\n" for name in ("spec", "beside"))
    )
    loaded = load("sites:\n  spec: {provider: libvirt, pool: spec}\nclusters: {}\n")
    pools = {name: site.pool for name, site in loaded.model.sites.items() if site.provider == "libvirt"}
    assert pools == {"spec": "spec", "beside": "beside", "user": "user"}
    assert loaded.where(("sites", "user")) == Where(file=str(tmp_path / "config" / "sites.yaml"), line=4, column=3)


def test_an_invalid_site_is_not_replaced_by_one_in_another_file(load: Load, tmp_path: Path, sample: str) -> None:
    (tmp_path / "sites.yaml").write_text("sites: {lab: {provider: libvirt}}\n")
    with pytest.raises(SpecError) as caught:
        load(sample.replace("provider: libvirt", "provider: moon"))
    assert [problem.summary for problem in caught.value.problems] == ["Unknown provider"]


def test_a_spec_named_sites_yaml_is_read_once(tmp_path: Path) -> None:
    file = tmp_path / "sites.yaml"
    file.write_text("sites: {lab: {provider: libvirt}}\nclusters: {}\n")
    assert list(load_spec(file, user_config=tmp_path / "config", home=tmp_path).model.sites) == ["lab"]


def test_the_sites_file_of_the_user_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sample: str) -> None:
    (tmp_path / "spec.yaml").write_text(sample.replace("sites:\n  lab:\n    provider: libvirt\n", ""))
    config = tmp_path / "xdg" / "pragmaspec"
    config.mkdir(parents=True)
    (config / "sites.yaml").write_text("sites: {lab: {provider: simulated}}\n")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "xdg"))
    monkeypatch.setenv("HOME", str(tmp_path))
    assert load_spec(tmp_path / "spec.yaml").model.sites["lab"].provider == "simulated"


def test_a_missing_spec_is_reported(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"No spec: There is no file .*spec\.yaml\. `pragmaspec init` creates one\."):
        load_spec(tmp_path / "spec.yaml")


@pytest.mark.timeout(10)
def test_a_spec_must_be_a_regular_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.yaml")
    for path, kind in ((tmp_path, "a directory"), (tmp_path / "pipe.yaml", "a pipe"), (Path("/dev/zero"), "a device")):
        with pytest.raises(SpecError, match=f"Spec not readable: .* it is {kind}, not a regular file. A spec must be a file"):
            load_spec(path)
    with pytest.raises(SpecError, match=r"No spec: There is no file -. A spec must be a file"):
        load_spec(Path("-"))


@pytest.mark.timeout(10)
def test_files_of_a_spec_must_be_regular_files(load: Load, sample: str, tmp_path: Path) -> None:
    for name in ("id.pub", "user-data.yaml"):
        os.mkfifo(tmp_path / name)
    with pytest.raises(SpecError) as caught:
        load(sample + "    ssh_keys: [./id.pub]\n    user_data: ./user-data.yaml\n")
    assert [problem.detail.partition("cannot")[2] for problem in caught.value.problems] == [
        " be read: it is a pipe, not a regular file."
    ] * 2


def test_an_unreadable_spec_is_reported(tmp_path: Path) -> None:
    (tmp_path / "spec.yaml").symlink_to("spec.yaml")
    with pytest.raises(SpecError, match=r"Spec not readable: .*spec\.yaml cannot be read: Too many levels of symbolic links.$"):
        load_spec(tmp_path / "spec.yaml")


def test_an_unreadable_sites_file_is_reported(load: Load, tmp_path: Path, sample: str) -> None:
    (tmp_path / "sites.yaml").mkdir()
    with pytest.raises(SpecError, match=r"Sites file not readable: .*it is a directory"):
        load(sample)


def test_files_larger_than_one_mebibyte_are_rejected(load: Load, sample: str, tmp_path: Path) -> None:
    load(sample + "#" * (2**20 - len(sample)))
    with pytest.raises(SpecError, match="File too large"):
        load(sample + "#" * (2**20 - len(sample) + 1))
    (tmp_path / "big.pub").write_text("#" * (2**20 + 1))
    with pytest.raises(SpecError, match=r"Not an ssh key: \./big\.pub"):
        load(sample + "    ssh_keys: [./big.pub]\n")


def test_a_spec_of_ten_thousand_lines_is_loaded(load: Load, sample: str) -> None:
    cluster = "    site: lab\n    image: debian-12\n    frontend: {cpus: 1}\n    computes: {count: 2}\n"
    assert len(load(sample + "".join(f"  c{number}:\n{cluster}" for number in range(2000))).model.clusters) == 2001


def test_secrets_in_a_quoted_line_are_not_shown(load: Load, sample: str) -> None:
    with pytest.raises(SpecError) as caught:
        load(sample + "    user_data: {chpasswd: {expire: no}, password: hunter2}\n")
    assert "hunter2" not in str([(problem.detail, problem.quote) for problem in caught.value.problems])


def test_aliases_and_merge_keys_are_resolved(load: Load) -> None:
    loaded = load(
        "images: {d: {build: {debian: sid}}}\nsites: {s: {provider: libvirt}}\n"
        "clusters:\n  a: &small\n    site: s\n    image: d\n    frontend: &node {cpus: 2}\n"
        "  b:\n    <<: *small\n    frontend: *node\n    state: off\n  c:\n    <<: [{state: off}, *small]\n"
    )
    assert loaded.model.clusters["b"].frontend.cpus == 2
    assert loaded.model.clusters["c"].state == "off"
    assert loaded.where(("clusters", "b", "site")).line == 5


def test_extension_keys_are_ignored(load: Load, sample: str, tmp_path: Path) -> None:
    (tmp_path / "sites.yaml").write_text("x-net: &net default\nsites: {hall: {provider: libvirt, public: {network: *net}}}\n")
    text = f"x-small: &small {{cpus: 1, anything: [goes]}}\nx-: 3\n{sample}    frontend: {{<<: *small}}\n"
    with pytest.raises(SpecError, match="`anything`"):
        load(text.replace("    frontend: {cpus: 1, memory: 1 GiB}\n", ""))
    loaded = load(f"x-cpus: &cpus 3\nx-odd: {{a: ~}}\n{sample.replace('frontend: {cpus: 1', 'frontend: {cpus: *cpus')}")
    assert loaded.model.clusters["hello"].frontend.cpus == 3
    assert "hall" in loaded.model.sites
    with pytest.raises(SpecError, match="`x-cluster`"):
        load(f"{sample}    x-cluster: 1\n")
    with pytest.raises(SpecError, match="`xsmall`"):
        load(f"xsmall: 1\n{sample}")
