"""The pytest plugin of the contract. Load it in the top ``conftest.py``: ``pytest_plugins = ["pragmaspec.testing.plugin"]``.

Define a fixture ``new_subject`` that returns a :class:`~pragmaspec.testing.subject.Subject`; with parameters, the contract is
tested with each.
"""

from collections.abc import Iterator

import pytest

from pragmaspec.testing.subject import Subject, left_as_found

pytest.register_assert_rewrite(
    *(f"pragmaspec.testing.{part}" for part in ("abilities", "contract", "identities", "sizes", "storage"))
)


@pytest.fixture
def subject(new_subject: Subject) -> Iterator[Subject]:
    """A stack at a site. Its objects are cleaned at the end, and the site must then be as before."""
    yield from left_as_found(new_subject)


@pytest.fixture
def faithful(subject: Subject) -> Subject:
    """A subject that checks the requirements of a machine."""
    return subject if subject.faithful else pytest.skip("the site does not check the requirements of a machine")
