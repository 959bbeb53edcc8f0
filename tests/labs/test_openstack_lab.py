"""The lab itself: its services answer, and it is started once."""

import pytest
import requests

from tests.labs.openstack.lab import OpenStackLab

pytestmark = pytest.mark.openstack
SERVICES = {"identity", "compute", "image", "network", "placement", "volumev3", "ec2"}


def authenticated(lab: OpenStackLab, user: str = "demo") -> tuple[requests.Session, dict[str, str]]:
    """Return a session with a token of ``user``, and the URL of each service."""
    password = {"user": {"name": user, "domain": {"id": "default"}, "password": "secret"}}
    scope = {"project": {"name": user, "domain": {"id": "default"}}}
    request = {"auth": {"identity": {"methods": ["password"], "password": password}, "scope": scope}}
    answer = requests.post(f"{lab.auth_url}/auth/tokens", json=request, timeout=60)
    answer.raise_for_status()
    session = requests.Session()
    session.headers["X-Auth-Token"] = answer.headers["X-Subject-Token"]
    catalog = answer.json()["token"]["catalog"]
    urls = {
        service["type"]: endpoint["url"].rstrip("/")
        for service in catalog
        for endpoint in service["endpoints"]
        if endpoint["interface"] == "public" and endpoint["region"] == lab.region
    }
    return session, urls


def test_all_services_answer(openstack_lab: OpenStackLab) -> None:
    session, urls = authenticated(openstack_lab)
    assert set(urls) >= SERVICES
    for path in ("/servers", "/flavors", "/limits"):
        assert session.get(urls["compute"] + path, timeout=60).status_code == requests.codes.ok
    assert session.get(urls["volumev3"] + "/volumes", timeout=60).status_code == requests.codes.ok
    without_signature = requests.get(openstack_lab.ec2_url, timeout=60)
    assert without_signature.status_code == requests.codes.bad_request
    assert "Signature" in without_signature.text


def test_networks_and_image_are_those_of_the_readme(openstack_lab: OpenStackLab) -> None:
    session, urls = authenticated(openstack_lab, "admin")
    subnets = session.get(urls["network"] + "/v2.0/subnets", timeout=60).json()["subnets"]
    ranges = {subnet["name"]: subnet["cidr"] for subnet in subnets if subnet["name"] in {"public", "campus"}}
    assert ranges == {"public": str(openstack_lab.public), "campus": str(openstack_lab.campus)}
    (image,) = session.get(urls["image"] + "/v2/images?name=tiny", timeout=60).json()["images"]
    assert (image["status"], image["visibility"]) == ("active", "public")


def test_credentials_in_the_files_of_the_lab(openstack_lab: OpenStackLab) -> None:
    clouds = openstack_lab.clouds_file.read_text(encoding="utf-8")
    assert clouds.count(openstack_lab.auth_url) == len(["demo", "other", "admin"])
    assert openstack_lab.clouds_file.stat().st_mode & 0o077 == 0
    assert openstack_lab.ec2_access_key
    assert openstack_lab.ec2_secret_key


def test_a_second_start_finds_the_lab_up(openstack_lab: OpenStackLab) -> None:
    pid = (openstack_lab.directory / "lab.pid").read_text(encoding="utf-8")
    assert "up already" in openstack_lab.run("up")
    assert (openstack_lab.directory / "lab.pid").read_text(encoding="utf-8") == pid
