"""Whatever user-data a spec may hold can be given to a node: it is never found out in the middle of an apply."""

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pragmaspec.errors import SpecError
from pragmaspec.guest.cloud_init import merge as user_document
from pragmaspec.planning.expand import expand
from pragmaspec.spec.fields import user_data
from pragmaspec.spec.loader import load_spec
from tests.planning.world import image

WORDS = st.text(max_size=8) | st.sampled_from(
    ("yes", "<<", "*a", "&a", "!x", "0644", "1:30", "#", "- ", "%", "{", "\t", "\x7f", "\x85", "k" * 1100, '"' * 600)
)
VALUES = st.recursive(
    WORDS | st.integers() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(WORDS, inner, max_size=4),
    max_leaves=30,
)


def nodes_documents(common: dict[str, Any], frontend: dict[str, Any]) -> list[str]:
    """What the nodes of a cluster with this user-data would be given."""
    spec = {
        "images": {"debian-12": {"build": {"debian": "bookworm"}}},
        "sites": {"lab": {"provider": "libvirt"}},
        "clusters": {
            "hello": {"site": "lab", "image": "debian-12", "user_data": common, "frontend": {"user_data": frontend}},
        },
    }
    with TemporaryDirectory() as folder:
        file = Path(folder) / "spec.yaml"
        file.write_text(json.dumps(spec, ensure_ascii=True), encoding="utf-8")
        loaded = load_spec(file, user_config=Path(folder), home=Path(folder))
    (found,) = expand(loaded, {"debian-12": image("debian-12")}).clusters
    return [found.frontend.user_data, found.computes.user_data]


@settings(max_examples=60, deadline=None)
@example({"a": "\u2028 \x7f"}, {})
@given(st.dictionaries(WORDS, VALUES, max_size=4), st.dictionaries(WORDS, VALUES, max_size=4))
def test_what_a_spec_may_hold_a_node_can_be_given(common: dict[str, Any], frontend: dict[str, Any]) -> None:
    try:
        documents = nodes_documents(common, frontend)
    except SpecError:
        return
    for document in documents:
        user_document.read_user_data(document)


def test_both_know_the_same_limits() -> None:
    assert (user_data.VALUES_MAX, user_data.DEPTH_MAX) == (user_document.VALUES_MAX, user_document.DEPTH_MAX)


@pytest.mark.parametrize("count", [19_995, 20_100])
def test_the_limit_is_the_same_one(count: int) -> None:
    common, frontend = {"a": ["x"] * (count // 2)}, {"b": ["y"] * (count - count // 2)}
    if count > user_data.VALUES_MAX:
        with pytest.raises(SpecError, match=r"spec.yaml:1:\d+: Too much user-data"):
            nodes_documents(common, frontend)
    else:
        for document in nodes_documents(common, frontend):
            user_document.read_user_data(document)
