"""Images that live at a site: the choice by name or id, digests, and pins that no longer hold."""

from hashlib import sha256

import pytest

from pragmaspec.errors import SiteError
from pragmaspec.planning.images.site_images import choose_site_image, site_image_digest, wanted_site_image
from pragmaspec.planning.observed import SiteImage


def image(name: str = "ubuntu", image_id: str = "img-1", **more: object) -> SiteImage:
    return SiteImage(**{"id": image_id, "name": name, "virtual_size_bytes": 2**30, **more})


def test_an_image_is_found_by_its_name_or_id() -> None:
    images = (image(), image("debian", "img-2"))
    assert choose_site_image("debian", images, "lab").id == choose_site_image("img-2", images, "lab").id == "img-2"


def test_an_id_is_preferred_to_the_name_of_another_image() -> None:
    assert choose_site_image("img-1", (image(), image("img-1", "img-2")), "lab").id == "img-1"


def test_an_ambiguous_name_lists_the_candidates_with_the_newest_first() -> None:
    images = (image(image_id="a", created="2026-01-01"), image(image_id="b", created="2026-02-01"), image(image_id="c"))
    with pytest.raises(SiteError) as caught:
        choose_site_image("ubuntu", images, "lab")
    (problem,) = caught.value.problems
    assert problem.summary == "Ambiguous image name"
    assert problem.detail == (
        "Site lab has 3 images called ubuntu: b (2026-02-01), a (2026-01-01), c (no date). Write the id of one of them instead."
    )


@pytest.mark.parametrize(
    ("images", "advice"),
    [
        ((image(), image("debian", "x")), "Did you mean ubuntu? It has debian, ubuntu."),
        ((image("rocky"),), "It has rocky."),
        ((), "It has none that can be used."),
    ],
)
def test_an_unknown_name_is_refused_with_near_ones(images: tuple[SiteImage, ...], advice: str) -> None:
    with pytest.raises(SiteError) as caught:
        choose_site_image("ubunut", images, "lab")
    assert caught.value.problems[0].detail == f"Site lab has no image ubunut. {advice}"


def test_the_digest_is_the_contents_or_follows_from_site_and_id() -> None:
    assert site_image_digest("lab", image(checksum="sha256:" + "a" * 64)) == "a" * 64
    derived = site_image_digest("lab", image(checksum="md5:" + "a" * 32))
    assert derived == sha256(b"pragmaspec site image 1\nsite lab\nid img-1\n").hexdigest()
    assert len({derived, site_image_digest("other", image()), site_image_digest("lab", image(image_id="img-2"))}) == 3
    assert derived == site_image_digest("lab", image(name="renamed"))


@pytest.mark.parametrize(
    ("asked", "reported", "expected"),
    [(None, None, "bios"), (None, "uefi", "uefi"), ("bios", "uefi", "bios"), ("uefi", None, "uefi")],
)
def test_the_firmware_is_that_of_the_spec_else_of_the_site(asked: str, reported: str, expected: str) -> None:
    assert wanted_site_image("u24", "lab", "cafe", image(firmware=reported), asked).firmware == expected
