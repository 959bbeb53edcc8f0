"""Searches that threads share."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Event

import pytest

from pragmaspec.providers.openstack.servers.shared_listing import KEYS_MAX, SharedListing
from tests.reliability.runs import wait_for

LIMIT_S = 10


class Site:
    """Answers requests for keys, the first of them only when it is told to."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, ...]] = []
        self.asked, self.answer = Event(), Event()

    def read(self, keys: Sequence[str]) -> dict[str, tuple[str, ...]]:
        self.requests.append(tuple(keys))
        if len(self.requests) == 1:
            self.asked.set()
            assert self.answer.wait(LIMIT_S)
        if "broken" in keys:
            raise OSError("no answer")
        return {key: (key.upper(),) for key in keys if key != "absent"}


def test_searches_during_a_request_are_one_request_after_it() -> None:
    site = Site()
    listing = SharedListing(site.read)
    with ThreadPoolExecutor(5) as pool:
        first = pool.submit(listing.find, "a")
        assert site.asked.wait(LIMIT_S)
        later = [pool.submit(listing.find, key) for key in ("d", "c", "b", "absent")]
        wait_for(lambda: len(listing._next.keys) == len(later), "all searches wait")
        site.answer.set()
        assert first.result() == ("A",)
        assert [each.result() for each in later] == [("D",), ("C",), ("B",), ()]
    assert site.requests == [("a",), ("absent", "b", "c", "d")]


def test_each_search_makes_a_request_of_its_own_time() -> None:
    site = Site()
    site.answer.set()
    listing = SharedListing(site.read)
    assert (listing.find("a"), listing.find("a")) == (("A",), ("A",))
    assert site.requests == [("a",), ("a",)]


def test_an_error_reaches_the_threads_of_its_request_only() -> None:
    site = Site()
    site.answer.set()
    listing = SharedListing(site.read)
    with pytest.raises(OSError, match="no answer"):
        listing.find("broken")
    assert listing.find("a") == ("A",)


def test_many_keys_are_several_requests() -> None:
    site = Site()
    listing = SharedListing(site.read)
    keys = [f"{number:02}" for number in range(KEYS_MAX + 1)]
    with ThreadPoolExecutor(len(keys) + 1) as pool:
        first = pool.submit(listing.find, "first")
        assert site.asked.wait(LIMIT_S)
        later = [pool.submit(listing.find, key) for key in keys]
        wait_for(lambda: len(listing._next.keys) == len(later), "all searches wait")
        site.answer.set()
        assert first.result() == ("FIRST",)
        assert [each.result() for each in later] == [(key,) for key in keys]
    assert site.requests == [("first",), tuple(keys[:KEYS_MAX]), tuple(keys[KEYS_MAX:])]
