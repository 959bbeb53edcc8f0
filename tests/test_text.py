"""Pieces of English sentences."""

import pytest

from pragmaspec.text import capitalized, closest, did_you_mean, few


@pytest.mark.parametrize(
    ("names", "shown"),
    [
        ([], "none"),
        (["a"], "a"),
        (["a", "b"], "a, b"),
        (["a", "b", "c"], "a, b and 1 more"),
        (["n"] * 1502, "n, n and 1,500 more"),
    ],
)
def test_long_lists_are_cut_and_counted(names, shown):
    assert few(names, most=2) == shown


def test_the_closest_name_is_suggested():
    known = ["frontend", "computes", "ssh_keys"]
    assert closest("computs", known) == "computes"
    assert closest("SSH-Keys", known) == "ssh_keys"
    assert closest("quota", known) is None
    assert did_you_mean("computs", known) == "Did you mean computes?"
    assert did_you_mean("computs", known, quote="`") == "Did you mean `computes`?"
    assert did_you_mean("quota", known, otherwise="There are 3.") == "There are 3."


def test_only_the_first_letter_is_raised():
    assert capitalized("it is a VMDK") == "It is a VMDK"
    assert capitalized("") == ""
