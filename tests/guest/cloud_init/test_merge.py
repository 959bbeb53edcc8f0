from pragmaspec.guest.cloud_init.merge import merged_config
from pragmaspec.guest.cloud_init.yaml import Yaml

OURS: dict[str, Yaml] = {"write_files": [{"path": "/etc/hosts"}], "ssh": {"emit": False}, "locale": "false", "runcmd": ["ours"]}
FIXED: dict[str, Yaml] = {"hostname": "a", "ssh_keys": {"ed25519_private": "ours"}}


def merged(user: dict[str, Yaml]) -> dict[str, Yaml]:
    return merged_config(OURS, user, FIXED)


def test_without_user_data_it_is_ours() -> None:
    assert merged({}) == {**FIXED, **OURS}
    assert list(merged({})) == [*FIXED, *OURS]


def test_lists_are_joined_ours_first_and_without_repeats() -> None:
    assert merged({"runcmd": ["theirs", "ours", "theirs"]})["runcmd"] == ["ours", "theirs", "theirs"]


def test_our_files_are_written_last() -> None:
    theirs: Yaml = [{"path": "/etc/hosts", "content": "theirs"}, {"path": "/opt/x"}]
    assert merged({"write_files": theirs})["write_files"] == [*theirs, {"path": "/etc/hosts"}]


def test_mappings_are_merged_and_the_users_values_win() -> None:
    found = merged({"ssh": {"emit": True, "other": 1}, "locale": "de_DE.UTF-8", "ntp": {"enabled": True}})
    assert found["ssh"] == {"emit": True, "other": 1}
    assert found["locale"] == "de_DE.UTF-8"
    assert found["ntp"] == {"enabled": True}


def test_what_the_contract_rests_on_wins() -> None:
    found = merged({"hostname": "theirs", "ssh_keys": {"ed25519_private": "theirs", "rsa_private": "theirs"}})
    assert found["hostname"] == "a"
    assert found["ssh_keys"] == {"ed25519_private": "ours", "rsa_private": "theirs"}
