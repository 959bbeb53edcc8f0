import json

from pragmaspec.guest.cloud_init.merge import decode_user_data, merged_config
from pragmaspec.guest.cloud_init.yaml import Yaml

OURS: dict[str, Yaml] = {"write_files": [{"path": "/etc/hosts"}], "ssh": {"emit": False}, "locale": "false", "runcmd": ["ours"]}
FIXED: dict[str, Yaml] = {"hostname": "a", "ssh_keys": {"ed25519_private": "ours"}}


def merged(user: dict[str, Yaml]) -> dict[str, Yaml]:
    return merged_config(OURS, user, FIXED)


def test_user_data_is_decoded_from_json() -> None:
    document = {"runcmd": ["é", ["a", "1.5"]], "timezone": None, "x": {"y": [True, 7, 0.5, "yes"]}}
    assert decode_user_data(f"#cloud-config\n{json.dumps(document, indent=1)}\n") == document


def test_empty_user_data_is_an_empty_document() -> None:
    assert decode_user_data("") == {}


def test_without_user_data_the_config_is_ours() -> None:
    assert merged({}) == {**FIXED, **OURS}
    assert list(merged({})) == [*FIXED, *OURS]


def test_lists_are_joined_with_ours_first_and_without_duplicates_of_ours() -> None:
    assert merged({"runcmd": ["theirs", "ours", "theirs"]})["runcmd"] == ["ours", "theirs", "theirs"]


def test_our_files_are_written_last() -> None:
    theirs: Yaml = [{"path": "/etc/hosts", "content": "theirs"}, {"path": "/opt/x"}]
    assert merged({"write_files": theirs})["write_files"] == [*theirs, {"path": "/etc/hosts"}]


def test_mappings_are_merged_and_the_users_values_win() -> None:
    found = merged({"ssh": {"emit": True, "other": 1}, "locale": "de_DE.UTF-8", "ntp": {"enabled": True}})
    assert found["ssh"] == {"emit": True, "other": 1}
    assert found["locale"] == "de_DE.UTF-8"
    assert found["ntp"] == {"enabled": True}


def test_fixed_values_cannot_be_overridden() -> None:
    found = merged({"hostname": "theirs", "ssh_keys": {"ed25519_private": "theirs", "rsa_private": "theirs"}})
    assert found["hostname"] == "a"
    assert found["ssh_keys"] == {"ed25519_private": "ours", "rsa_private": "theirs"}
