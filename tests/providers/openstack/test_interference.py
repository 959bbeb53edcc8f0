"""Stacks with one cluster name in one project, and in two projects, at the same time: each has its own objects."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.labs.openstack.lab import OpenStackLab
from tests.providers.openstack.command_stack import CommandStack
from tests.providers.openstack.project_listing import ProjectListing

pytestmark = pytest.mark.openstack
KINDS_OF_A_FRONTEND = len(("group", "network", "subnet", "router", "floating address", "image", "port", "server", "volume"))


class Owned(NamedTuple):
    """A stack, and the listing of its project."""

    stack: CommandStack
    listing: ProjectListing

    def ids(self) -> set[str]:
        return self.listing.ids(self.stack.lineage)


@pytest.fixture
def owned(openstack_lab: OpenStackLab, tmp_path: Path) -> Iterator[list[Owned]]:
    """Two stacks in one project, and one in another; what a failed test leaves is cleaned."""
    listings = {name: ProjectListing(openstack_lab, name) for name in ("other", "demo")}
    owned = [
        Owned(CommandStack(tmp_path / f"{number}", openstack_lab, f"lab-{project}", computes=0), listings[project])
        for number, project in enumerate(("other", "other", "demo"))
    ]
    yield owned
    for each in owned:
        each.stack.clean()


def test_stacks_with_one_cluster_name_do_not_touch_each_other(owned: list[Owned]) -> None:
    running = [each.stack.start("apply", "cluster.yaml", "--auto-approve") for each in owned]
    for each, process in zip(owned, running, strict=True):
        each.stack.end(process)
    for each in owned:
        each.stack.run("plan", "cluster.yaml", "--detailed-exitcode")
    present = [each.ids() for each in owned]
    assert [len(ids) for ids in present] == [KINDS_OF_A_FRONTEND] * len(owned)
    while owned:
        cleaned = owned.pop()
        present.pop()
        lineage = cleaned.stack.lineage
        cleaned.stack.clean()
        assert cleaned.listing.ids(lineage) == set()
        assert [each.ids() for each in owned] == present
