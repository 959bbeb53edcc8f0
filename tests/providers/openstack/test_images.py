"""Images at a real Glance."""

from pathlib import Path

import pytest

from pragmaspec.testing.subject import Subject
from tests.labs.openstack.lab import OpenStackLab
from tests.providers.openstack.conftest import site_of

pytestmark = pytest.mark.openstack


def test_an_image_is_staged_again_after_it_was_removed(
    openstack_lab: OpenStackLab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Glance refuses the id of a deleted image for ever."""
    subject = Subject.at(site_of(openstack_lab, monkeypatch, "lab-other"), tmp_path)
    for _ in range(2):
        subject.stage()
        assert subject.observed().images == (subject.image.digest,)
        subject.provider.clean(subject.image, subject.mark(subject.image))
        assert subject.observed().images == ()
    subject.provider.close()
