"""The models with native Python values."""

from typing import Any

import pytest
from pydantic import ValidationError

from pragmaspec.spec.models.cluster import COMPUTES_MAX, SpecModel
from pragmaspec.spec.models.image import InvalidImageSourceError, image_from_location
from pragmaspec.spec.yaml.scalars import Plain

SPEC: dict[str, Any] = {
    "images": {"debian-12": {"build": {"debian": "bookworm"}}},
    "sites": {"lab": {"provider": "libvirt"}},
    "clusters": {"hello": {"site": "lab", "image": "debian-12"}},
}


def model(**cluster: Any) -> SpecModel:
    return SpecModel.model_validate({**SPEC, "clusters": {"hello": {**SPEC["clusters"]["hello"], **cluster}}})


def site(**values: Any) -> SpecModel:
    return SpecModel.model_validate({**SPEC, "sites": {"lab": {"provider": "simulated", **values}}})


def test_native_values() -> None:
    cluster = model(frontend={"cpus": 4, "memory": "2 GiB"}, protect=True, computes={"count": 3}, packages=("a",)).clusters[
        "hello"
    ]
    assert (cluster.frontend.cpus, cluster.frontend.memory_mib, cluster.protect, cluster.computes.count) == (4, 2048, True, 3)
    lab = site(vlans=[(7), "9-11"], overcommit={"cpus": 2, "memory": Plain("1.10")}).sites["lab"]
    assert lab.vlans == ((7, 7), (9, 11))
    assert (lab.overcommit.cpus, lab.overcommit.memory) == (2.0, 1.1)


@pytest.mark.parametrize(
    ("cluster", "message"),
    [
        ({"frontend": {"cpus": True}}, "`true` is not a whole number"),
        ({"frontend": {"memory": 1024}}, "write 1024 MiB"),
        ({"frontend": {"memory": None}}, "nothing is not an amount of memory"),
        ({"readiness": {"timeout": 90}}, "write 90 s"),
        ({"protect": None}, "nothing is not a boolean"),
        ({"packages": ["a\x1bb"]}, r"`a\\x1bb` is not valid here"),
        ({"private": {"range": None}}, "nothing is not an IPv4 network"),
        ({"ssh_keys": [None]}, "nothing is not an ssh key"),
        ({"user_data": 5}, "`5` is not user-data"),
        ({"public": 5}, "`5` is not an IPv4 address"),
    ],
)
def test_invalid_native_values_are_rejected(cluster: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        model(**cluster)


def test_invalid_numbers_are_rejected() -> None:
    with pytest.raises(ValidationError, match="`true` is not a number"):
        site(overcommit={"cpus": True})
    with pytest.raises(ValidationError, match="`true` is not a number or range"):
        site(vlans=True)
    with pytest.raises(ValidationError, match="`5` is not an IPv4 address"):
        site(public={"addresses": [5]})


@pytest.mark.parametrize(("text", "size"), [("20 GB", 20 * 10**9), ("1.000001 MiB", 2 * 2**20)])
def test_disk_sizes_are_whole_sectors(text: str, size: int) -> None:
    found = model(frontend={"disk": text}).clusters["hello"].frontend.disk_bytes
    assert found == size
    assert size % 512 == 0


def test_the_longest_node_name_is_a_valid_host_name() -> None:
    longest = "n" * 42
    assert SpecModel.model_validate({**SPEC, "clusters": {longest: SPEC["clusters"]["hello"]}})
    assert len(f"{longest}-compute-{COMPUTES_MAX - 1}") <= 63


def test_models_are_immutable() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        model().clusters["hello"].public = "none"  # type: ignore[misc] - tested here


def test_an_image_is_created_from_its_location() -> None:
    assert image_from_location("./disk.qcow2").source == "./disk.qcow2"
    assert image_from_location("./img", directory=True).clonezilla == "./img"
    with pytest.raises(InvalidImageSourceError, match=r"^`http://h:0/` cannot be used: its port is not between 1 and 65535$"):
        image_from_location("http://h:0/")
