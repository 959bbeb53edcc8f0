import re
from collections import defaultdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pragmaspec.access.ansible_groups import cluster_at_site_group, cluster_group, node_group, site_group
from pragmaspec.access.ansible_inventory import ansible_inventory
from pragmaspec.access.routes import routes
from pragmaspec.spec.fields.scalars import NAME_PATTERN
from tests.access.conftest import KEY, member, state

WORDS = st.sampled_from(
    (
        *("a", "a-b", "a--b", "a-frontend", "a-computes", "a-cluster", "a-site", "web", "web-frontend", "b-at-lab", "lab"),
        *("frontend", "frontends", "computes", "compute", "cluster", "site", "at"),
        *("all", "ungrouped", "localhost", "meta", "hosts", "vars", "children", "none", "true"),
    )
)
SPEC_NAMES = WORDS | st.from_regex(NAME_PATTERN.replace("$", r"\Z"), fullmatch=True) | st.text("ab-", min_size=1, max_size=5)
ODD_NAMES = st.text(st.characters(codec="utf-8"), min_size=1, max_size=8) | st.text("aAX_-.0", min_size=1, max_size=5)
ANY_NAMES = SPEC_NAMES | ODD_NAMES
TAKEN_BY_ANSIBLE = {"all", "ungrouped", "localhost", "_meta"}


@pytest.mark.parametrize(
    ("cluster", "group"),
    [
        ("hello", "hello"),
        ("my-lab", "my_lab"),
        ("my--lab", "myX2dXX2dXlab"),
        ("my.lab", "myX2eXlab"),
        ("my_lab", "myX5fXlab"),
        ("My-lab", "X4dXy_lab"),
        ("1st", "X31Xst"),
        ("all", "all__cluster"),
        ("computes", "computes__cluster"),
        ("localhost", "localhost__cluster"),
    ],
)
def test_cluster_names_map_to_readable_group_names(cluster, group):
    assert cluster_group(cluster) == group


@given(st.lists(st.tuples(ANY_NAMES, ANY_NAMES), max_size=6))
def test_group_names_are_unique_and_valid(places):
    names = ["frontends", "computes"]
    clusters, sites = {cluster for cluster, _ in places}, {site for _, site in places}
    names += [cluster_group(cluster) for cluster in clusters]
    names += [node_group(cluster, group) for cluster in clusters for group in ("frontend", "compute", "gpu", "gpu-x")]
    names += [site_group(site) for site in sites]
    names += [cluster_at_site_group(cluster, site) for cluster, site in set(places)]
    assert len(names) == len(set(names))
    assert not TAKEN_BY_ANSIBLE & set(names)
    assert all(re.fullmatch("[A-Za-z][A-Za-z0-9_]*", name) for name in names), names


@given(st.dictionaries(st.tuples(ANY_NAMES, ANY_NAMES), st.integers(0, 3), max_size=6))
def test_every_group_holds_exactly_its_hosts(clusters):
    """``clusters`` maps name and site to the number of computes; each cluster has a reachable frontend."""
    records = {
        (cluster, site): [
            member(cluster, site, -1, public="192.0.2.1"),
            *(member(cluster, site, index) for index in range(computes)),
        ]
        for (cluster, site), computes in clusters.items()
    }
    found = state(*(node for nodes in records.values() for node in nodes))
    names = {route.node: route.name for route in routes(found, KEY)}
    expected = defaultdict(set, {"frontends": set(), "computes": set()})
    for (cluster, site), nodes in records.items():
        hosts = [names[node.address] for node in nodes]
        for group in (cluster_group(cluster), cluster_at_site_group(cluster, site), site_group(site)):
            expected[group] |= {*hosts}
        for group in ("frontends", node_group(cluster, "frontend")):
            expected[group] |= {hosts[0]}
        for group in ("computes", node_group(cluster, "compute")):
            expected[group] |= {*hosts[1:]}
    made = ansible_inventory(found, routes(found, KEY), "/config")
    held = {group.name: group for group in made.groups}

    def hosts_of(name):
        group = held[name]
        return set(group.members) if group.holds == "hosts" else set().union(*map(hosts_of, group.members))

    assert {name: hosts_of(name) for name in held} == expected
    assert len(held) == len(made.groups)
    assert all(len(group.members) == len(set(group.members)) for group in made.groups)
    assert not held.keys() & dict(made.hosts).keys(), "Ansible warns about a group that has the name of a host"


@given(st.lists(st.tuples(ANY_NAMES, ANY_NAMES), min_size=1, max_size=4))
def test_group_names_are_stable_when_a_cluster_is_added(places):
    def groups(places):
        found = state(*(member(cluster, site, -1, public="192.0.2.1") for cluster, site in places))
        return {group.name for group in ansible_inventory(found, routes(found, KEY), "/config").groups}

    assert groups(places[:-1]) <= groups(places)
