"""Marks in descriptions, tags and metadata."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pragmaspec.providers.openstack.marks import (
    Label,
    description_of,
    includes,
    label_from_description,
    mark_from_metadata,
    metadata_of,
    node_tag,
    stack_tag,
)
from pragmaspec.resources import Mark

LINEAGE = "3f9a1c2b-0000-4000-8000-000000000000"
MARK = Mark(lineage=LINEAGE, address="lab/hello/node/hello-frontend", generation=2, op="a" * 32)
WORDS = st.from_regex(r"[a-z0-9/-]{1,60}", fullmatch=True)
MARKS = st.builds(
    Mark, lineage=st.uuids().map(str), address=WORDS, generation=st.integers(0, 10**6), op=st.sampled_from(["", "a" * 32])
)


@given(MARKS, st.one_of(st.just(""), WORDS))
def test_a_description_is_read_as_it_was_written(mark: Mark, part: str) -> None:
    assert label_from_description(description_of(Label(mark=mark, part=part))) == Label(mark=mark, part=part)


def test_the_longest_description_is_one_that_neutron_takes() -> None:
    site, cluster, network = "s" * 42, "c" * 42, "n" * 42
    node = f"{cluster}-".ljust(63, "1")
    mark = Mark(lineage=LINEAGE, address=f"{site}/{cluster}/node/{node}", generation=999_999, op="a" * 32)
    description = description_of(Label(mark=mark, part=network))
    assert len(description) <= 255
    assert label_from_description(description) == Label(mark=mark, part=network)


@given(MARKS)
def test_metadata_are_read_as_they_were_written(mark: Mark) -> None:
    assert mark_from_metadata(metadata_of(mark)) == mark


@pytest.mark.parametrize(
    "description", [None, "", "pragmaspec", "by pragmaspec", f"pragmaspec {LINEAGE} x - lab", "pragmaspec a 1 - b c d"]
)
def test_another_description_is_no_mark(description: str | None) -> None:
    assert label_from_description(description) is None


@given(MARKS)
def test_tags_of_servers_have_the_form_that_nova_takes(mark: Mark) -> None:
    for tag in (stack_tag(mark.lineage), node_tag(mark)):
        assert len(tag) <= 60
        assert "/" not in tag
        assert "," not in tag


def test_all_generations_of_a_node_have_one_tag() -> None:
    assert node_tag(MARK) == node_tag(Mark(lineage=LINEAGE, address=MARK.address, generation=7))
    assert node_tag(MARK) != node_tag(Mark(lineage=LINEAGE, address="lab/hello/node/hello-compute-0"))


@pytest.mark.parametrize(
    ("found", "included"),
    [
        (MARK, True),
        (Mark(lineage=LINEAGE, address=MARK.address, generation=1, op="b" * 32), True),
        (Mark(lineage=LINEAGE, address=MARK.address, generation=2), True),
        (Mark(lineage=LINEAGE, address=MARK.address, generation=2, op="b" * 32), False),
        (Mark(lineage=LINEAGE, address=MARK.address, generation=3, op="a" * 32), False),
        (Mark(lineage=LINEAGE, address="lab/other", generation=2, op="a" * 32), False),
        (Mark(lineage=LINEAGE.replace("3", "4"), address=MARK.address, generation=2, op="a" * 32), False),
    ],
)
def test_a_removal_includes_neither_later_generations_nor_other_creations(found: Mark, *, included: bool) -> None:
    assert includes(MARK, found) == included
