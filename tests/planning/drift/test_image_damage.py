"""Damaged images are staged again before a boot needs them."""

import pytest
from msgspec.structs import replace

from pragmaspec.planning.drift.image_damage import damage_text, image_damage
from pragmaspec.planning.observed import Observations, ObservedImage
from pragmaspec.resources import Blob, StagedImage
from tests.planning.builders import action_names, applied_state, cluster, image, in_order, name_of, observed, planned, wanted

HELLO = applied_state(cluster())
(IMAGE,) = (record.resource for record in HELLO.records if isinstance(record.resource, StagedImage))
SIZE = IMAGE.disk.size_bytes
WITH_KERNEL = replace(IMAGE, kernel=Blob(sha256="1" * 64, size_bytes=7), initrd=Blob(sha256="2" * 64, size_bytes=9))
PARTS = (("disk", SIZE), ("kernel", 7), ("initrd", 9))


def observations(*parts: tuple[str, int | None], whole: bool = True) -> Observations:
    seen = ObservedImage(digest=IMAGE.digest if whole else IMAGE.digest[:16], whole=whole, parts=parts)
    return replace(observed(HELLO), images=(IMAGE.digest,) if whole else (), image_parts=(seen,), store="pool default")


@pytest.mark.parametrize(
    ("parts", "kind", "detail"),
    [
        ((), "gone", "is gone from pool default"),
        ((*PARTS[1:],), "changed", "its disk is gone from pool default"),
        ((PARTS[0], PARTS[2]), "changed", "its kernel is gone from pool default"),
        ((PARTS[0],), "changed", "its kernel and initrd are gone from pool default"),
        ((("disk", 5), *PARTS[1:]), "changed", "its disk in pool default has 5 bytes instead of 641,728,512"),
        (
            (("kernel", 0), ("disk", SIZE)),
            "changed",
            "its initrd is gone from pool default; its kernel in pool default has 0 bytes instead of 7",
        ),
    ],
)
def test_missing_and_resized_parts_are_reported(parts: tuple[tuple[str, int | None], ...], kind: str, detail: str) -> None:
    found = image_damage(WITH_KERNEL, observations(*parts))
    assert found is not None
    assert (found.kind, found.detail) == (kind, detail)


def test_image_without_its_completion_mark_is_damaged() -> None:
    found = image_damage(IMAGE, observations(("disk", SIZE), whole=False))
    assert found is not None
    assert found == ("changed", "has lost its completion mark in pool default")


@pytest.mark.parametrize("size", [SIZE, None])
def test_complete_image_is_not_damaged(size: int | None) -> None:
    assert image_damage(IMAGE, observations(("disk", size))) is None
    assert damage_text(IMAGE, (("disk", size),)) == ""


def test_damaged_image_is_only_staged_again() -> None:
    plan = planned(wanted(cluster()), HELLO, observations={"lab": observations()})
    assert [(drift.name, drift.kind, drift.detail) for drift in plan.drift] == [
        ("debian-12", "gone", "is gone from pool default")
    ]
    assert action_names(plan) == ["stage debian-12"]


def test_shutdown_waits_for_the_image_and_the_allocation() -> None:
    """A rebuild for another reason while the image is missing from the pool."""
    asked = cluster(vlan=77, computes=1)
    plan = planned(wanted(asked, images=(image(),)), applied_state(cluster(computes=1)), observations={"lab": observations()})
    order = [f"{each.verb} {name_of(each.resource)}" for each in in_order(plan)]
    brought = max(order.index("stage debian-12"), order.index("allocate hello"))
    assert brought < min(order.index(f"shutdown hello-{name}") for name in ("frontend", "compute-0"))
    for each in plan.actions:
        if each.verb in ("shutdown", "clean", "boot"):
            assert {"stage", "allocate"} <= {key.partition(" ")[0] for key in each.after}
