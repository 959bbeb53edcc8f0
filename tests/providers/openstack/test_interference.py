"""Stacks with one cluster name in one project, and in two projects, at the same time: each has its own objects."""

from pathlib import Path

import pytest

from tests.labs.openstack.lab import OpenStackLab
from tests.providers.openstack.command_stack import CommandStack
from tests.providers.openstack.project_listing import ProjectListing

pytestmark = pytest.mark.openstack
KINDS_OF_A_FRONTEND = len(("group", "network", "subnet", "router", "floating address", "image", "port", "server"))


def test_stacks_with_one_cluster_name_do_not_touch_each_other(openstack_lab: OpenStackLab, tmp_path: Path) -> None:
    projects = {name: ProjectListing(openstack_lab, name) for name in ("other", "demo")}
    stacks = [
        (CommandStack(tmp_path / f"{number}", openstack_lab, f"lab-{project}", computes=0), projects[project])
        for number, project in enumerate(("other", "other", "demo"))
    ]
    running = [stack.start("apply", "cluster.yaml", "--auto-approve") for stack, _ in stacks]
    for (stack, _), process in zip(stacks, running, strict=True):
        stack.end(process)
    lineages = [stack.lineage for stack, _ in stacks]
    present = [listing.ids(lineage) for (_, listing), lineage in zip(stacks, lineages, strict=True)]
    assert [len(ids) for ids in present] == [KINDS_OF_A_FRONTEND] * len(stacks)
    while stacks:
        (stack, listing), lineage = stacks.pop(), lineages.pop()
        present.pop()
        stack.clean()
        assert listing.ids(lineage) == set()
        assert [listing.ids(each) for (_, listing), each in zip(stacks, lineages, strict=True)] == present
        for other, _ in stacks:
            assert other.run("plan", "cluster.yaml", "--detailed-exitcode").startswith("No changes")
