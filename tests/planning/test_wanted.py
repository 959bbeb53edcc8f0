"""Looking things up in an expanded spec."""

from tests.planning.world import LAB, cluster, image, wanted

SPEC = wanted(cluster("hello"))


def test_parts_are_found_by_name() -> None:
    assert SPEC.image("debian-12") == image()
    assert SPEC.site("lab") == LAB
    assert SPEC.cluster("hello") == cluster("hello")


def test_what_is_not_there_is_none() -> None:
    assert SPEC.site("tokyo") is None
    assert SPEC.cluster("world") is None
