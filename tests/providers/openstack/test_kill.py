"""SIGKILL at every failpoint of an apply and of a clean at a real OpenStack; then the services' own listing equals the state."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.labs.openstack.lab import OpenStackLab
from tests.providers.openstack.command_stack import CommandStack
from tests.providers.openstack.project_listing import ProjectListing

pytestmark = pytest.mark.openstack

COMING = [
    "openstack.image.made",
    "openstack.image.filled",
    "openstack.group.made",
    "openstack.group.complete",
    "openstack.network.made",
    "openstack.subnet.made",
    "openstack.router.made",
    "openstack.router.connected",
    "openstack.address.made",
    "openstack.volume.made",
    "openstack.port.made",
    "openstack.server.made",
    "openstack.address.attached",
]
GOING = [
    "openstack.server.changes",
    "openstack.server.removed",
    "openstack.port.removed",
    "openstack.volume.removed",
    "openstack.address.released",
    "openstack.router.disconnected",
    "openstack.router.removed",
    "openstack.network.removed",
    "openstack.group.removed",
    "openstack.image.released",
    "openstack.image.removed",
]
"""Failpoints: COMING are reached in this order while a cluster is created by one call at a time, GOING while it is cleaned."""
CHOSEN = {
    "openstack.image.filled",
    "openstack.subnet.made",
    "openstack.router.connected",
    "openstack.address.made",
    "openstack.server.made",
    "openstack.server.removed",
    "openstack.volume.made",
    "openstack.volume.removed",
    "openstack.router.disconnected",
    "openstack.image.released",
}
"""Points that tests other than those of ``make torture`` reach."""
KILLED = -signal.SIGKILL


@pytest.fixture
def listing(openstack_lab: OpenStackLab) -> Iterator[ProjectListing]:
    listing = ProjectListing(openstack_lab)
    yield listing
    assert listing.lines() == []


@pytest.fixture
def stack(openstack_lab: OpenStackLab, listing: ProjectListing, tmp_path: Path) -> Iterator[CommandStack]:
    """A stack; what a failed test leaves of it is cleaned."""
    stack = CommandStack(tmp_path / "stack", openstack_lab)
    yield stack
    if listing.lines():
        stack.clean()


@pytest.mark.parametrize(
    ("coming", "going"),
    [
        pytest.param([each for each in COMING if each in CHOSEN], [each for each in GOING if each in CHOSEN], id="chosen"),
        pytest.param(COMING, GOING, id="all", marks=pytest.mark.torture),
    ],
)
def test_one_cluster_survives_kills_at_many_points(
    stack: CommandStack, listing: ProjectListing, coming: list[str], going: list[str]
) -> None:
    for point in coming:
        stack.apply(f"{point}:1:kill", status=KILLED)
    stack.apply()
    assert listing.lines() == stack.expected()
    assert "No changes" in stack.run("plan", "cluster.yaml", "--detailed-exitcode")
    for point in going:
        stack.clean(f"{point}:1:kill", status=KILLED)
    stack.clean()
    assert listing.lines() == []


@pytest.mark.torture
@pytest.mark.parametrize("point", COMING)
def test_an_apply_with_parallel_calls_survives_a_kill(
    openstack_lab: OpenStackLab, listing: ProjectListing, tmp_path: Path, point: str
) -> None:
    stack = CommandStack(tmp_path / "parallel", openstack_lab, parallel=16)
    stack.apply(f"{point}:1:kill", status=KILLED)
    stack.apply()
    assert listing.lines() == stack.expected()
    stack.clean()
