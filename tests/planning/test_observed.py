"""Uses of capacity and of pool values, by marked and by unmarked objects."""

import pytest

from pragmaspec.planning.observed import CapacityUse, PoolUse
from pragmaspec.resources import Mark

OURS = Mark(lineage="3f9a1c2b-0000-4000-8000-000000000000", address="lab/hello/allocation")


@pytest.mark.parametrize(
    ("mark", "unmarked", "expected"),
    [
        (OURS, "", PoolUse(value="101", owner=OURS.owner, lineage=OURS.lineage, address="lab/hello/allocation")),
        (None, "network lab", PoolUse(value="101", owner="network lab")),
    ],
)
def test_a_pool_value_in_use_names_its_owner(mark: Mark | None, unmarked: str, expected: PoolUse) -> None:
    assert PoolUse.by("101", mark, unmarked) == expected


@pytest.mark.parametrize(
    ("mark", "unmarked", "expected"),
    [
        (OURS, "", CapacityUse(owner=OURS.owner, lineage=OURS.lineage, address="lab/hello/allocation", cpus=2, disk_bytes=7)),
        (None, "server web", CapacityUse(owner="server web", cpus=2, disk_bytes=7)),
    ],
)
def test_capacity_in_use_names_its_owner(mark: Mark | None, unmarked: str, expected: CapacityUse) -> None:
    assert CapacityUse.by(mark, unmarked, cpus=2, disk_bytes=7) == expected
