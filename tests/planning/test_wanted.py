"""Lookups in an expanded spec."""

from tests.planning.builders import LAB, cluster, image, wanted

SPEC = wanted(cluster("hello"))


def test_lookups_by_name() -> None:
    assert SPEC.image("debian-12") == image()
    assert SPEC.site("lab") == LAB
    assert SPEC.cluster("hello") == cluster("hello")


def test_unknown_names_are_none() -> None:
    assert SPEC.site("tokyo") is None
    assert SPEC.cluster("world") is None
