"""The pytest plugin of the contract. Load it in the top ``conftest.py``: ``pytest_plugins = ["pragmaspec.testing.plugin"]``.

Define a fixture ``new_subject`` that returns a :class:`~pragmaspec.testing.subject.Subject`; with parameters, the contract is
tested with each. :mod:`pragmaspec.testing.selection` describes the tests that a subject takes.
"""

from collections.abc import Iterator
from typing import Any

import pytest

from pragmaspec.testing.selection import (
    Selection,
    declared_features,
    features_of,
    needed_features,
    select,
    summary_lines,
    unmet,
)
from pragmaspec.testing.subject import Subject, left_as_found

pytest.register_assert_rewrite(
    *(f"pragmaspec.testing.{part}" for part in ("abilities", "contract", "devices", "identities", "late", "sizes", "storage"))
)

_SELECTION = pytest.StashKey[Selection]()
_OUTPUT = "pragmaspec_contract"
"""Key of the selection in the output of a worker of pytest-xdist."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option for the table of tests that a subject does not take."""
    text = "list the tests of the contract that each subject does not take, with the features that it does not have"
    parser.addoption("--contract-table", action="store_true", help=text)


def pytest_configure(config: pytest.Config) -> None:
    """Register the markers."""
    for name, text in (("needs", "features that a test needs of its subject"), ("has", "all features of a subject")):
        config.addinivalue_line("markers", f"contract_{name}(*features): {text}, see pragmaspec.testing.selection")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect the tests that a subject does not take."""
    left_out, selection = select(items)
    config.stash[_SELECTION] = selection
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in {*left_out}]
    output: dict[str, Any] | None = getattr(config, "workeroutput", None)
    if output is not None:
        output[_OUTPUT] = selection


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:  # noqa: ANN401 - pytest-xdist publishes no types
    """Take over the selection of a worker, all of which have the same."""
    if found := getattr(node, "workeroutput", {}).get(_OUTPUT):
        node.config.stash[_SELECTION] = found


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print the selection."""
    table = config.getoption("contract_table", default=False)
    if selection := config.stash.get(_SELECTION, {}):
        terminalreporter.section("contract of providers" + ("" if table else ": details with --contract-table"))
        for line in summary_lines(selection, table=table):
            terminalreporter.write_line(line)


@pytest.fixture
def subject(new_subject: Subject, request: pytest.FixtureRequest) -> Iterator[Subject]:
    """A stack at a site. Its objects are cleaned at the end, and the site must then be as before.

    Without a declaration of its features, a test that needs others is skipped.
    """
    needed = needed_features(request.node)
    if needed and declared_features(request.node) is None and (lacking := unmet(needed, features_of(new_subject))):
        new_subject.provider.close()
        pytest.skip(f"the subject has no {', '.join(lacking)}")
    yield from left_as_found(new_subject)
