"""Impacts of changes."""

import pytest
from msgspec.structs import replace

from pragmaspec.planning.impact import changed_fields_text, node_impact, worst_impact
from tests.planning.builders import applied_state, cluster

FRONTEND = applied_state(cluster()).nodes()[0]


def test_worst_impact() -> None:
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
def test_changed_fields_text(fields: tuple[str, ...], words: str) -> None:
    assert changed_fields_text(fields) == words


def test_reattachment_reboots_and_a_new_address_rebuilds() -> None:
    private, public = FRONTEND.nics
    replugged = replace(FRONTEND, nics=(replace(private, segment="vlan 30"), public))
    renumbered = replace(FRONTEND, nics=(replace(private, address="10.9.0.1"), public))
    assert node_impact(FRONTEND, replugged, ("nics",)) == "reboot"
    assert node_impact(FRONTEND, renumbered, ("nics",)) == "rebuild"


def test_growing_a_disk_reboots_and_shrinking_rebuilds() -> None:
    assert node_impact(FRONTEND, replace(FRONTEND, disk_bytes=FRONTEND.disk_bytes + 1), ("disk_bytes",)) == "reboot"
    assert node_impact(FRONTEND, replace(FRONTEND, disk_bytes=FRONTEND.disk_bytes - 1), ("disk_bytes",)) == "rebuild"
