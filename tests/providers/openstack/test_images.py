"""Images at a real Glance."""

import json
from pathlib import Path

import pytest
from msgspec.structs import replace

from pragmaspec.errors import SiteError
from pragmaspec.planning.wanted import PublicCopy
from pragmaspec.providers.base import StageRequest
from pragmaspec.providers.openstack.client import Client
from pragmaspec.providers.openstack.cloud import Cloud
from pragmaspec.providers.openstack.images import image_id, list_images
from pragmaspec.providers.openstack.objects import GlanceImage
from pragmaspec.providers.openstack.settings import OpenStackSettings
from pragmaspec.testing.subject import Subject
from tests.labs.openstack.lab import OpenStackLab
from tests.providers.openstack.conftest import site_of
from tests.web_server import web_server

GLANCE_PORT = 80
"""Glance downloads from ports 80 and 443 only."""

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


def _glance_images(digest: str) -> list[GlanceImage]:
    client = Client(OpenStackSettings(cloud="lab-other"))
    try:
        return [each for each in list_images(client) if each.digest == digest]
    finally:
        client.close()


def _fetching(lab: OpenStackLab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fetch: str) -> Subject:
    site = site_of(lab, monkeypatch, "lab-other")
    options = json.dumps({"cloud": "lab-other", "zones": ["fake"], "fetch": fetch})
    return Subject.at(replace(site, options=options, fetches_images=True), tmp_path)


def _requested(subject: Subject, url: str) -> StageRequest:
    return StageRequest(
        subject.image, subject.mark(subject.image), subject.bytes, public_copy=lambda: PublicCopy(url=url, here=True)
    )


def test_the_cloud_downloads_an_image(openstack_lab: OpenStackLab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    subject = _fetching(openstack_lab, tmp_path, monkeypatch, "cloud")
    subject.provider.inventory()
    try:
        with web_server(str(openstack_lab.public[254]), GLANCE_PORT) as web:
            web.content = subject.files.disk.read_bytes()
            subject.provider.stage(_requested(subject, web.url))
        assert web.asked == [str(openstack_lab.public[1])]
        assert subject.observed().images == (subject.image.digest,)
    finally:
        subject.provider.clean(subject.image, subject.mark(subject.image))
        subject.provider.close()


def test_the_cloud_downloads_other_bytes(openstack_lab: OpenStackLab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    subject = _fetching(openstack_lab, tmp_path, monkeypatch, "cloud")
    try:
        with web_server(str(openstack_lab.public[254]), GLANCE_PORT) as web:
            web.content = b"x" * len(subject.files.disk.read_bytes())
            with pytest.raises(SiteError, match="other bytes"):
                subject.provider.stage(_requested(subject, web.url))
        assert not _glance_images(subject.image.digest)
    finally:
        subject.provider.close()


@pytest.mark.parametrize("fetch", ["auto", "cloud"])
def test_an_image_that_the_cloud_cannot_download_is_uploaded_if_the_site_says_so(
    openstack_lab: OpenStackLab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fetch: str
) -> None:
    subject = _fetching(openstack_lab, tmp_path, monkeypatch, fetch)
    request = _requested(subject, f"http://{openstack_lab.public[254]}/disk.raw")  # nothing listens there
    try:
        if fetch == "auto":
            subject.provider.stage(request)
            assert subject.observed().images == (subject.image.digest,)
        else:
            with pytest.raises(SiteError, match="Change the site's `fetch` to `auto` or `upload`"):
                subject.provider.stage(request)
            assert not _glance_images(subject.image.digest)
    finally:
        subject.provider.clean(subject.image, subject.mark(subject.image))
        subject.provider.close()


def test_an_image_has_the_firmware_of_the_nodes_that_boot_it(
    openstack_lab: OpenStackLab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = site_of(openstack_lab, monkeypatch, "lab-other")
    subject, cloud = Subject.at(site, tmp_path), Cloud(site)
    try:
        subject.stage()
        for firmware in ("uefi", "bios"):
            found = image_id(cloud, subject.image, firmware)
            assert [(each.id, each.firmware) for each in _glance_images(subject.image.digest)] == [(found, firmware)]
    finally:
        subject.provider.clean(subject.image, subject.mark(subject.image))
        subject.provider.close()
        cloud.client.close()
