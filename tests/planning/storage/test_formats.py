"""File systems of disks and volumes that the spec no longer asks for are remembered, because they stay."""

from collections.abc import Sequence

import pytest
from msgspec.structs import replace

from pragmaspec.errors import PlanError
from pragmaspec.planning.request import PlanRequest
from pragmaspec.planning.wanted import WantedDisk
from pragmaspec.resources import DiskFormat, Node, Volume
from pragmaspec.state_model import State
from tests.planning.builders import EMPTY, GIB, action, action_names, applied, cluster, nodes, observed, planned, wanted

OWN = WantedDisk(name="scratch", size_bytes=10 * GIB)
KEPT = WantedDisk(name="home", size_bytes=10 * GIB, keep=True)
VOLUME = "lab/volume/hello-frontend-home"
FRONTEND = "lab/hello/node/hello-frontend"


def spec_of(disk: WantedDisk, format_: DiskFormat = "ext4"):
    return wanted(cluster(frontend=nodes(1, disks=(replace(disk, format=format_),))))


def after_formats(disk: WantedDisk, formats: Sequence[DiskFormat]) -> State:
    """Return the state after the specs with these formats, one after the other."""
    state = EMPTY
    for each in formats:
        state = applied(planned(spec_of(disk, each), state), state)
    return state


def kept_format(state: State) -> str:
    node = state.record(FRONTEND)
    assert node is not None
    assert isinstance(node.resource, Node)
    (disk,) = node.resource.disks
    return disk.kept_format


def test_a_disk_keeps_its_file_system_without_a_format() -> None:
    state = after_formats(OWN, ("ext4",))
    assert action_names(planned(spec_of(OWN, "none"), state)) == ["update hello-frontend"]
    state = after_formats(OWN, ("ext4", "none"))
    assert kept_format(state) == "ext4"
    assert planned(spec_of(OWN, "none"), state).empty
    back = planned(spec_of(OWN), state)
    assert action_names(back) == ["update hello-frontend"]
    assert kept_format(applied(back, state)) == "none"


def test_another_file_system_loses_data_also_in_two_steps() -> None:
    plan = planned(spec_of(OWN, "xfs"), after_formats(OWN, ("ext4", "none")))
    boot = action(plan, "boot hello-frontend")
    assert (boot.discards, boot.impact) == (("scratch",), "data-loss")


def test_unknown_contents_are_kept() -> None:
    plan = planned(spec_of(OWN, "xfs"), after_formats(OWN, ("none",)))
    assert action_names(plan) == ["update hello-frontend"]


def test_a_new_disk_has_no_file_system() -> None:
    state = after_formats(OWN, ("ext4", "none"))
    smaller = applied(planned(spec_of(replace(OWN, size_bytes=GIB), "none"), state), state)
    assert kept_format(smaller) == "none"
    rebuilt = applied(planned(spec_of(OWN, "none"), state, request=PlanRequest(replace=("hello-frontend",))), state)
    assert kept_format(rebuilt) == "none"
    assert planned(spec_of(OWN, "none"), rebuilt).empty
    packages = wanted(cluster(frontend=nodes(1, disks=(replace(OWN, format="none"),), packages=("vim",))))
    assert kept_format(applied(planned(packages, state), state)) == "none"


def test_a_volume_keeps_its_file_system_without_a_format() -> None:
    state = after_formats(KEPT, ("ext4", "none"))
    record = state.record(VOLUME)
    assert record is not None
    assert isinstance(record.resource, Volume)
    assert (record.resource.format, record.resource.made_format) == ("none", "ext4")
    assert planned(spec_of(KEPT, "none"), state).empty
    assert planned(spec_of(KEPT), state).actions
    with pytest.raises(PlanError, match="has the file system ext4, and the spec wants xfs"):
        planned(spec_of(KEPT, "xfs"), state)


def test_a_lost_volume_is_made_anew_without_a_file_system() -> None:
    state = after_formats(KEPT, ("ext4", "none"))
    plan = planned(spec_of(KEPT, "none"), state, observations={"lab": replace(observed(state), volumes=())})
    volume = action(plan, "allocate hello-frontend-home").resource
    assert isinstance(volume, Volume)
    assert volume.made_format == "none"
