"""Pieces of English sentences and human-readable amounts."""

import pytest

from pragmaspec.text import capitalized, closest, counted, did_you_mean, duration, few, joined, memory, size, size_change


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


def test_only_the_first_letter_is_capitalized():
    assert capitalized("it is a VMDK") == "It is a VMDK"
    assert capitalized("") == ""


@pytest.mark.parametrize(
    ("count", "shown"),
    [(1, "a"), (2, "a and b"), (4, "a, b, c and d"), (5, "a, b, c and 2 more"), (2003, "a, b, c and 2,000 more")],
)
def test_a_long_subject_is_cut_and_counted(count: int, shown: str):
    assert joined([*"abcd", *map(str, range(count))][:count]) == shown


def test_joined_names_have_a_limit_and_a_conjunction():
    assert joined(["a", "b", "c", "d"], most=2, last="or") == "a, b or 2 more"
    assert joined(["a", "b", "c"], most=2, last="or") == "a, b or c"
    assert joined([]) == ""


@pytest.mark.parametrize(
    ("size_bytes", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1 KiB"),
        (612 * 2**20, "612 MiB"),
        (3 * 2**29, "1.5 GiB"),
        (20 * 10**9, "18.6 GiB"),
        (2**40, "1 TiB"),
        (2**60, "1024 PiB"),
        (10**8 + 1, "95.4 MiB"),
    ],
)
def test_sizes(size_bytes: int, text: str) -> None:
    assert size(size_bytes) == text


def test_a_change_of_size_is_always_visible() -> None:
    assert size_change(4 * 2**30, 8 * 2**30) == "4 GiB → 8 GiB"
    assert size_change(4 * 2**30, 4 * 2**30 + 512) == "4294967296 B → 4294967808 B"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.05, "0.05 s"), (3.21, "3.2 s"), (42.4, "42 s"), (125, "2 min 5 s"), (600, "10 min"), (3780, "1 h 3 min"), (7200, "2 h")],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_counts() -> None:
    assert (counted(1, "cpu"), counted(2, "cpu"), counted(10_000, "node")) == ("1 cpu", "2 cpus", "10,000 nodes")
    assert (memory(1536), memory(0)) == ("1.5 GiB", "0 MiB")
