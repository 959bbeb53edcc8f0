"""Validation of user-data with cloud-init's schema."""

import re
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pragmaspec.errors import SpecError
from pragmaspec.spec.cloud_init.findings import OVERRIDDEN_KEYS, user_data_findings
from pragmaspec.spec.cloud_init.schema import known_keys
from pragmaspec.spec.loaded_spec import LoadedSpec

Load = Callable[[str], LoadedSpec]
SCHEMAS = Path(__file__).parents[3] / "pragmaspec" / "spec" / "cloud_init"


def findings(document: dict[str, Any], *whole: dict[str, Any]) -> list[tuple[str, str]]:
    """Return severity and path of every finding."""
    return [(each.severity, ".".join(map(str, each.path))) for each in user_data_findings(document, (), whole)]


def detail(document: dict[str, Any]) -> str:
    (found,) = user_data_findings(document, ())
    return found.detail


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"runcmd": ["true", ["echo", "x"], None], "bootcmd": ["true"]},
        {"packages": ["git", ["vim", "2:9"], {"snap": ["hello"]}], "package_update": True},
        {"users": ["default", {"name": "ada", "groups": "wheel", "uid": 1001, "ssh_authorized_keys": ["ssh-rsa x"]}]},
        {"users": {"name": "ada"}, "groups": {"admins": ["ada"]}, "ssh_authorized_keys": ["ssh-rsa x"]},
        {"write_files": [{"path": "/x", "content": "y", "permissions": "0644", "append": True, "defer": False}]},
        {"power_state": {"mode": "reboot", "delay": "now", "condition": True}},
        {"apt": {"sources": {"x": {"source": "deb http://x y z"}}}, "ntp": {"enabled": True, "servers": ["a"]}},
        {"chpasswd": {"expire": False, "users": [{"name": "a", "password": "x", "type": "text"}]}},
        {"swap": {"size": "1G", "filename": "/s"}, "mounts": [["/dev/vdb", "/x"]], "growpart": {"mode": "auto"}},
        {"migrate": True},
        {"ssh_keys": {"rsa_private": "x", "rsa_public": "y"}, "preserve_hostname": False, "disable_root": False},
        {"snap": {"commands": {"0": "snap install x"}}, "locale": "C.UTF-8", "timezone": "Asia/Tokyo"},
        {"phone_home": {"url": "http://example.org/{{ v1.instance_id }}/", "post": "all"}},
        {"ntp": {"servers": ["ntp_1.example.org"]}, "users": [{"name": "ada", "expiredate": "2032-09-01"}]},
    ],
    ids=lambda document: " ".join(document) or "nothing",
)
def test_valid_user_data_has_no_findings(document: dict[str, Any]) -> None:
    assert findings(document) == []


@pytest.mark.parametrize(
    ("document", "found"),
    [
        ({"runcmdd": ["x"], "write_filez": 3}, [("warning", "runcmdd"), ("warning", "write_filez")]),
        ({"runcmd": 3}, [("error", "runcmd")]),
        ({"runcmd": [["sleep", 5]]}, [("warning", "runcmd.0.1")]),
        ({"runcmd": [["x", True]]}, [("error", "runcmd.0.1")]),
        ({"write_files": [{"content": "x"}]}, [("error", "write_files.0")]),
        ({"write_files": [{"path": "/x", "contents": "x"}]}, [("warning", "write_files.0.contents")]),
        ({"write_files": [{"path": "/x", "permissions": 420}]}, [("error", "write_files.0.permissions")]),
        ({"package_update": "yes"}, [("warning", "package_update")]),
        ({"package_update": "perhaps"}, [("error", "package_update")]),
        ({"swap": {"size": "1G", "maxsize": "10"}}, [("error", "swap.maxsize")]),
        ({"packages": []}, [("warning", "packages")]),
        ({"packages": [["a"]]}, [("error", "packages.0")]),
        ({"ntp": {"servers": ["a", "a"]}}, [("warning", "ntp.servers")]),
        ({"power_state": {"delay": 5}}, [("error", "power_state")]),
        ({"chpasswd": {"list": ["rootsecret"]}}, [("error", "chpasswd.list")]),
        ({"snap": {"commands": {"0": 3}}}, [("error", "snap.commands.0")]),
        ({"apt_update": True}, [("warning", "apt_update")]),
        ({"users": [{"name": "a", "ssh-authorized-keys": ["x"]}]}, [("warning", "users.0.ssh-authorized-keys")]),
        ({"rh_subscription": {"activation_key": "a", "activation-key": "b"}}, [("error", "rh_subscription")]),
        ({"ssh_pwauth": "yes"}, [("warning", "ssh_pwauth")]),
        ({"network": {"version": 2}}, [("warning", "network")]),
        ({"hostname": "x", "fqdn": "x.y"}, [("warning", "hostname"), ("warning", "fqdn")]),
        ({"disable_root": True, "ssh_deletekeys": False}, [("warning", "disable_root"), ("warning", "ssh_deletekeys")]),
        ({"ssh_keys": {"ed25519_private": "x", "ed25519_public": "y"}},
         [("warning", "ssh_keys.ed25519_private"), ("warning", "ssh_keys.ed25519_public")]),
        ({"mount_default_fields": ["x"]}, [("error", "mount_default_fields")]),
        ({"users": [{"name": "a", "expiredate": "2032-13-45"}]}, [("error", "users.0.expiredate")]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, dict) else "",
)  # fmt: skip
def test_findings(document: dict[str, Any], found: list[tuple[str, str]]) -> None:
    assert findings(document) == found


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ({"runcmd": None}, "cloud-init expects a list in `runcmd`, but this is empty. Write one, or remove the key."),
        ({"timezone": 5}, "cloud-init expects a string in `timezone`, but this is a number. Put it in quotes."),
        ({"runcmd": "reboot"}, "cloud-init expects a list in `runcmd`, but this is a string."),
        (
            {"power_state": {"mode": "poweroof"}},
            (
                "cloud-init expects `poweroff`, `reboot` or `halt` in `power_state.mode`, but this is another string. "
                "Did you mean `poweroff`?"
            ),
        ),
        ({"users": [{}]}, "cloud-init requires `name` or `snapuser` in `users[0]`. Add it."),
        ({"runcmdd": []}, "cloud-init ignores the unknown key `runcmdd`. Did you mean `runcmd`?"),
        ({"qqq": []}, "cloud-init ignores the unknown key `qqq`. Remove it, or see cloud-init's documentation."),
        ({"apt_update": True}, "`apt_update` is deprecated in cloud-init since 22.2. Use `package_update` instead."),
        ({"resize_rootfs": "x"}, "cloud-init expects true, false or `noblock` in `resize_rootfs`, but this is another string."),
        ({"package_update": {"a": 1}}, "cloud-init expects true or false in `package_update`, but this is a mapping."),
        ({"package_update": [True]}, "cloud-init expects true or false in `package_update`, but this is a list."),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, dict) else "",
)
def test_finding_details(document: dict[str, Any], words: str) -> None:
    assert detail(document) == words


def test_a_required_key_may_be_in_another_part_of_the_user_data() -> None:
    part = {"power_state": {"delay": 5}}
    assert findings(part, {"power_state": {"delay": 5, "mode": "reboot"}}) == []
    assert findings(part, {"power_state": {"delay": 5, "mode": "reboot"}}, part) == [("error", "power_state")]


def test_parts_of_a_cluster_and_of_its_roles_are_checked_together(load: Load, sample: str) -> None:
    frontend = "frontend: {cpus: 1, memory: 1 GiB"
    whole = f"{sample}    user_data: {{power_state: {{mode: reboot}}}}\n".replace(
        frontend, f"{frontend}, user_data: {{power_state: {{delay: 5}}}}"
    )
    assert load(whole).warnings == ()
    with pytest.raises(SpecError, match="requires `mode` in `power_state`"):
        load(whole.replace("mode: reboot", "message: x"))


def test_a_finding_is_reported_once_for_user_data_that_is_used_twice(load: Load, sample: str) -> None:
    text = sample.replace(
        "clusters:\n", "clusters:\n  other: {site: lab, image: debian-12, user_data: &u {runcmdd: [x]}, computes: {count: 0}}\n"
    )
    assert len(load(f"{text}    user_data: *u\n").warnings) == 1


def test_warnings_have_positions_and_are_in_file_order(load: Load, sample: str) -> None:
    first, second = load(f"{sample}    user_data:\n      runcmdd: [x]\n      hostname: y\n").warnings
    assert (first.severity, second.severity) == ("warning", "warning")
    assert first.where is not None
    assert second.where is not None
    assert (first.quote, first.where.column) == ("      runcmdd: [x]", 7)
    assert second.where.line == first.where.line + 1


def test_no_password_is_shown(load: Load, sample: str) -> None:
    users = "        users: [{name: [a], password: geheim}]\n"
    text = f"{sample}    user_data:\n      chpasswd:\n        list:\n          - rootgeheim\n{users}"
    with pytest.raises(SpecError) as caught:
        load(text)
    assert len(caught.value.problems) >= 2
    assert "geheim" not in "".join(f"{problem.detail}{problem.quote}" for problem in caught.value.problems)


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**15), 10**15)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["name", "path", "0", "users", "a/b", "~"]) | st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(
    st.dictionaries(st.sampled_from(sorted(known_keys() | set(OVERRIDDEN_KEYS))) | st.text(max_size=8), json_values, max_size=3)
)
def test_findings_are_at_existing_paths(document: dict[str, Any]) -> None:
    for found in user_data_findings(document, ()):
        assert found.detail.endswith((".", "?"))
        value: Any = document
        for step in found.path:
            value = value[step]


def test_the_schemas_match_their_checksums() -> None:
    listed = dict(re.findall(r"\| `(\S+\.json)` \|.*\| `([0-9a-f]{64})` \|", (SCHEMAS / "README.md").read_text(encoding="utf-8")))
    there = {str(path.relative_to(SCHEMAS)): sha256(path.read_bytes()).hexdigest() for path in SCHEMAS.rglob("*.json")}
    assert listed == there
    assert "Apache License" in (SCHEMAS / "LICENSE-Apache2.0").read_text(encoding="utf-8")
