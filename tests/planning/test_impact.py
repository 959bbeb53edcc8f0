"""What a change does to a node, and how it is said."""

import pytest
from msgspec.structs import replace

from pragmaspec.planning.impact import changed_fields_text, node_impact, worst_impact
from tests.planning.world import cluster, settled

FRONTEND = settled(cluster()).nodes()[0]


def test_the_worst_of_several_counts() -> None:
    assert worst_impact(("live", "rebuild", "reboot")) == "rebuild"
    assert worst_impact(()) == "none"


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        (("memory_mib",), "memory changed"),
        (("memory_mib", "image"), "memory and image changed"),
        (("cpus", "memory_mib", "image"), "cpus, memory and image changed"),
        (("name",), "name changed"),
    ],
)
def test_causes_are_said_as_people_do(fields: tuple[str, ...], words: str) -> None:
    assert changed_fields_text(fields) == words


def test_a_node_plugged_into_another_network_is_rebooted_and_one_with_another_address_rebuilt() -> None:
    private, public = FRONTEND.nics
    replugged = replace(FRONTEND, nics=(replace(private, segment="vlan 30"), public))
    renumbered = replace(FRONTEND, nics=(replace(private, address="10.9.0.1"), public))
    assert node_impact(FRONTEND, replugged, ("nics",)) == "reboot"
    assert node_impact(FRONTEND, renumbered, ("nics",)) == "rebuild"


def test_a_disk_grows_with_a_reboot_and_shrinks_with_a_rebuild() -> None:
    assert node_impact(FRONTEND, replace(FRONTEND, disk_bytes=FRONTEND.disk_bytes + 1), ("disk_bytes",)) == "reboot"
    assert node_impact(FRONTEND, replace(FRONTEND, disk_bytes=FRONTEND.disk_bytes - 1), ("disk_bytes",)) == "rebuild"
