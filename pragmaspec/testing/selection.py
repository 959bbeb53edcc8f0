"""Selection of the contract's tests: a test names the features that it needs, a subject all that it has.

::

    @needs("volume_storage")
    def test_a_volume_survives_its_node(subject: Subject) -> None: ...

    pytest.param(cloud, id="cloud", marks=has("token", "public", "flavors", "volume_storage"))

A module with one subject has ``pytestmark = has(…)``. Tests that a subject does not take are deselected, and listed by
``pytest --contract-table``. One test of the contract compares the declaration with the provider.
"""

from collections.abc import Iterable, Mapping

import pytest

from pragmaspec.providers.base import Abilities
from pragmaspec.testing.subject import Subject, free_devices

SITE_FEATURES: Mapping[str, str] = {
    "ident": "its identity_kind is ident",
    "token": "its identity_kind is token",
    "tag": "its identity_kind is tag",
    "faithful": "it checks the requirements of a machine, and resizes disks",
    "public": "the subject has a free public address",
    "flavors": "its inventory has flavors",
    "quotas": "its inventory has quotas",
    "devices": "its inventory has a free device of a host",
    "processors": "its inventory has processors",
    "late_macs": "its site chooses MACs",
    "late_private": "its site chooses addresses in private networks",
    "late_public": "its site chooses public addresses",
    "few_instances": "its quota of instances has at most 8 left",
    "user_data": "its nodes are told by user-data of a limited size, instead of seeds",
    "vlans": "its networks have VLAN numbers",
    "translated": "its site translates public addresses to private interfaces",
}
"""Features of a site beside the abilities of its provider, each with its condition."""

FEW = 8
"""Largest number of machines with which a test exhausts a quota."""

_NEEDS, _HAS = "contract_needs", "contract_has"

Selection = dict[str, dict[str, list[str]]]
"""By subject: its tests, each with the features that it needs and the subject does not have."""


def needs(*features: str) -> pytest.MarkDecorator:
    """Mark a test with the features that it needs of its subject; ``"token or tag"`` is one of two. Raises ValueError."""
    _check_names(name for feature in features for name in feature.split(" or "))
    mark: pytest.MarkDecorator = getattr(pytest.mark, _NEEDS)
    return mark.with_args(*features)


def has(*features: str) -> pytest.MarkDecorator:
    """Mark a subject's parameter, or the module of the only subject, with all of its features. Raises ValueError."""
    _check_names(features)
    mark: pytest.MarkDecorator = getattr(pytest.mark, _HAS)
    return mark.with_args(*features)


def _check_names(names: Iterable[str]) -> None:
    known = {*Abilities.__dataclass_fields__, *SITE_FEATURES}
    if unknown := sorted({*names} - known):
        raise ValueError(f"Unknown features: {', '.join(unknown)}. There are {', '.join(sorted(known))}.")


def features_of(subject: Subject) -> set[str]:
    """Return the features that the subject has in fact."""
    provider = subject.provider
    inventory = provider.inventory()
    instances = next((quota for quota in inventory.quotas if quota.kind == "instances"), None)
    few = instances is not None and instances.limit is not None and instances.limit - instances.used <= FEW
    site = {
        provider.identity_kind: True,
        "faithful": subject.faithful,
        "public": subject.public is not None,
        "flavors": inventory.flavors is not None,
        "quotas": bool(inventory.quotas),
        "devices": bool(free_devices(inventory)),
        "processors": inventory.processors is not None,
        "few_instances": few,
        "user_data": subject.site.delivery.limit is not None,
        "vlans": subject.site.networking.vlans,
        "translated": subject.site.networking.translated,
        **{f"late_{value}": value in subject.site.late_values for value in ("macs", "private", "public")},
    }
    abilities = {name for name in Abilities.__dataclass_fields__ if getattr(provider.abilities, name) is not None}
    return abilities | {name for name, present in site.items() if present}


def needed_features(item: pytest.Item) -> list[str]:
    """Return the features that a test needs."""
    return [feature for mark in item.iter_markers(_NEEDS) for feature in mark.args]


def declared_features(item: pytest.Item) -> set[str] | None:
    """Return the declared features of a test's subject, or None without a declaration."""
    marks = list(item.iter_markers(_HAS))
    return {feature for mark in marks for feature in mark.args} if marks else None


def unmet(needed: Iterable[str], present: set[str]) -> list[str]:
    """Return the features of ``needed`` that are not ``present``."""
    return [feature for feature in needed if present.isdisjoint(feature.split(" or "))]


def select(items: list[pytest.Item]) -> tuple[list[pytest.Item], Selection]:
    """Return the tests that a subject does not take, and the selection of every subject that has a declaration."""
    left_out: list[pytest.Item] = []
    selection: Selection = {}
    names = _subject_names(items)
    for item in items:
        declared = declared_features(item)
        if declared is None or "new_subject" not in getattr(item, "fixturenames", ()):
            continue
        lacking = unmet(needed_features(item), declared)
        selection.setdefault(names[_subject_key(item)], {})[item.name] = lacking
        if lacking:
            left_out.append(item)
    return left_out, selection


def _subject_names(items: list[pytest.Item]) -> dict[tuple[str, int], str]:
    """Return the name of each subject: the id of its parameter, or its module."""
    names: dict[tuple[str, int], str] = {}
    for item in items:
        callspec = getattr(item, "callspec", None)
        if callspec is None or "new_subject" not in callspec.params:
            names.setdefault(_subject_key(item), item.nodeid.partition("::")[0])
        elif callspec.params.keys() == {"new_subject"}:
            names.setdefault(_subject_key(item), callspec.id)
    return names


def _subject_key(item: pytest.Item) -> tuple[str, int]:
    callspec = getattr(item, "callspec", None)
    return item.nodeid.partition("::")[0], id(callspec.params.get("new_subject")) if callspec else 0


def summary_lines(selection: Selection, *, table: bool) -> list[str]:
    """Return the lines that describe a selection: one per subject, and with ``table`` each test that it does not take."""
    lines = []
    for subject, tests in selection.items():
        absent = sorted({name for lacking in tests.values() for feature in lacking for name in feature.split(" or ")})
        taken = sum(not lacking for lacking in tests.values())
        lines.append(f"{subject}: {taken} of {len(tests)} tests" + (f", without {', '.join(absent)}" if absent else ""))
        if table:
            lines += [f"    {test} needs {' and '.join(lacking)}" for test, lacking in tests.items() if lacking]
    return lines
