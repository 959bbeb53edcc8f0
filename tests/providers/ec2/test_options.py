"""The keys of a site in a spec."""

from pathlib import Path

import msgspec
import pytest

from pragmaspec.delivery import Delivery
from pragmaspec.errors import SpecError
from pragmaspec.networking import Networking
from pragmaspec.planning.expand_sites import wanted_site
from pragmaspec.providers.ec2.boot import USER_DATA_LIMIT
from pragmaspec.providers.ec2.settings import Ec2Settings, InstanceType
from pragmaspec.providers.ingress import Ingress
from pragmaspec.site import ExternalSite
from pragmaspec.spec.loader import load_spec

SPEC = """
images: {debian: {at: {burst: "136693071363/debian-12-*"}}}
sites:
  burst: {provider: ec2, %s}
clusters: {}
"""


def site_of(directory: Path, options: str) -> ExternalSite:
    file = directory / "spec.yaml"
    file.write_text(SPEC % options, encoding="utf-8")
    site = wanted_site(load_spec(file, user_config=directory / "none", home=directory / "none"), "burst")
    assert isinstance(site, ExternalSite)
    return site


def settings_of(directory: Path, options: str) -> Ec2Settings:
    return site_of(directory, options).read_options(Ec2Settings)


def test_defaults_are_not_stored(tmp_path: Path) -> None:
    site = site_of(tmp_path, "region: eu-central-1")
    assert set(msgspec.json.decode(site.options)) == {"region", "architecture", "market", "ssh_from"}
    assert site.read_options(Ec2Settings) == Ec2Settings(region="eu-central-1")


def test_a_site_declares_its_properties(tmp_path: Path) -> None:
    site = site_of(tmp_path, "region: eu-central-1")
    assert site.networking == Networking(vlans=False, frontend_offset=4, translated=True, dhcp=True)
    assert (site.delivery, site.late_values) == (Delivery(user_data_limit=USER_DATA_LIMIT), ("macs", "public"))
    assert site.completes_late


def test_all_keys_are_read(tmp_path: Path) -> None:
    found = settings_of(
        tmp_path,
        "endpoint: http://cloud:8773/services/compute/, profile: clusters, zone: eu-central-1a, vpc: vpc-0a1b2c3d, market: spot, "
        "security_group: sg-0a1b2c3d, ssh_from: 192.0.2.0/24, ingress: [{ports: 8000-8080, from: 198.51.100.0/24}], key: admin, "
        "tags: {project: pragma}, sizes: {m1.small: {cpus: 1, memory: 2 GiB, disk: 20 GiB}, tiny: {cpus: 1, memory: 128 MiB}}",
    )
    assert found == Ec2Settings(
        endpoint="http://cloud:8773/services/compute/",
        profile="clusters",
        zone="eu-central-1a",
        vpc="vpc-0a1b2c3d",
        security_group="sg-0a1b2c3d",
        ssh_from=("192.0.2.0/24",),
        ingress=(Ingress(first=8000, last=8080, sources=("198.51.100.0/24",)),),
        sizes=(
            InstanceType(name="m1.small", cpus=1, memory_mib=2048, disk_bytes=20 * 2**30),
            InstanceType(name="tiny", cpus=1, memory_mib=128),
        ),
        key="admin",
        market="spot",
        tags=(("project", "pragma"),),
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("vpc: vpc-0a1b2c3d, subnet: subnet-0a1b2c3d", "Two networks"),
        ("types: [t3.*], sizes: {tiny: {cpus: 1, memory: 128 MiB}}", "Two lists of sizes"),
        ("vpc: my-network", "write the id of one"),
        ("endpoint: http://anna:secret@cloud:8773/", "AWS_ACCESS_KEY_ID"),
        ("tags: {'pragma:project': x}", "without a colon"),
        ("tags: {pragmaspec-op: x}", "without a colon"),
        ("secret_key: abc", "secret_key"),
    ],
    ids=lambda value: value.partition(":")[0],
)
def test_mistakes_are_errors(tmp_path: Path, options: str, message: str) -> None:
    with pytest.raises(SpecError) as refusal:
        site_of(tmp_path, options)
    assert message in str(refusal.value)
    assert "anna:secret" not in str(refusal.value)
