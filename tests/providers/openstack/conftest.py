"""A stack in the project ``demo`` of the lab, for the contract; its zone has a driver without guests, which is quick."""

import json
from pathlib import Path

import pytest
from msgspec.structs import replace

from pragmaspec.plugins import BUILT_IN
from pragmaspec.site import ExternalSite
from pragmaspec.testing.subject import Subject
from tests.labs.openstack.lab import OpenStackLab

DESCRIPTION = BUILT_IN["openstack"]


def site_of(lab: OpenStackLab, monkeypatch: pytest.MonkeyPatch, cloud: str = "lab-demo", zone: str = "fake") -> ExternalSite:
    """Return a project of the lab as a site."""
    monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", str(lab.clouds_file))
    return ExternalSite(
        name="lab",
        plugin="openstack",
        options=json.dumps({"cloud": cloud, "zones": [zone]}),
        late_effects=True,
        late=DESCRIPTION.late_values,
        declared_delivery=DESCRIPTION.delivery,
        declared_networking=DESCRIPTION.networking,
    )


@pytest.fixture
def new_subject(openstack_lab: OpenStackLab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Subject:
    # A router takes a third of the time, and the contract demands nothing of it.
    site = site_of(openstack_lab, monkeypatch)
    return Subject.at(replace(site, declared_networking=replace(site.networking, router=False)), tmp_path, rounds=1)
