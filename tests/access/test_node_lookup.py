import pytest

from pragmaspec.access.node_lookup import find_node
from pragmaspec.errors import UsageError
from tests.access.conftest import HELLO, recorded, state


@pytest.mark.parametrize("word", ["hello-compute-1", "lab/hello/node/hello-compute-1"])
def test_a_node_is_found_by_name_and_by_address(word):
    assert find_node(HELLO, word).index == 1


def test_an_ambiguous_name_is_an_error_that_lists_the_addresses():
    both = HELLO.with_record(recorded("hello-frontend", site="far"))
    with pytest.raises(UsageError, match="Write far/hello/node/hello-frontend or lab/hello/node/hello-frontend"):
        find_node(both, "hello-frontend")
    assert find_node(both, "far/hello/node/hello-frontend").site == "far"


@pytest.mark.parametrize(
    ("word", "hint"),
    [
        ("hello-compute-2", "Did you mean hello-compute-[01]"),
        ("zzz", "Recorded nodes: hello-compute-0, hello-compute-1, hello-frontend."),
    ],
)
def test_an_unknown_name_is_an_error_with_suggestions(word, hint):
    with pytest.raises(UsageError, match=hint):
        find_node(HELLO, word)


def test_a_long_list_of_names_is_shortened():
    with pytest.raises(UsageError, match="and 10 more"):
        find_node(state(*(recorded(f"c-compute-{index}", index) for index in range(20))), "zzz")


def test_an_empty_state_is_an_error_that_suggests_apply():
    with pytest.raises(UsageError, match="pragmaspec apply"):
        find_node(state(), "hello")
