"""SIGKILL at every failpoint of an apply at the real daemon; after one more apply its own listing equals the state."""

import os
from collections.abc import Iterator
from hashlib import sha256
from itertools import zip_longest
from pathlib import Path
from typing import Any
from uuid import uuid4

import libvirt
import msgspec
import pytest
from msgspec.structs import replace

from pragmaspec.resources import Blob
from pragmaspec.site import LibvirtSite
from tests.engine.subprocess_apply import SubprocessApply
from tests.engine.test_kill import COMING, LIBVIRT_COMING, LIBVIRT_GOING, check_equal
from tests.providers.conftest import OWN

pytestmark = pytest.mark.hypervisor

GOING = [f"engine.{verb}.{moment}" for verb in ("shutdown", "clean") for moment in ("leaves", "answered", "ended")]


@pytest.fixture(scope="module")
def mortals() -> Iterator[SubprocessApply]:
    with SubprocessApply() as mortals:
        yield mortals


@pytest.fixture
def site(contract_site: LibvirtSite) -> LibvirtSite:
    return replace(contract_site, vlans=((3900 + 10 * OWN, 3909 + 10 * OWN),))


class Stack:
    """One stack at the daemon, applied by processes that may be killed."""

    def __init__(self, home: Path, site: LibvirtSite, mortals: SubprocessApply) -> None:
        content = os.urandom(16) * 4096
        (home / "disk.raw").write_bytes(content)
        self.digest = sha256(content).hexdigest()
        (home / "image.json").write_bytes(msgspec.json.encode(Blob(sha256=self.digest, size_bytes=len(content))))
        self._home, self._site, self._mortals = home, site, mortals
        self._lineage = str(uuid4())
        self.short = self._lineage[:8]

    def apply(self, spec: str, failpoint: str = "") -> dict[str, Any] | None:
        return self._mortals.apply(self._home, self._site, spec, failpoint, self._lineage)

    def listing(self) -> set[str]:
        """The machines, networks, addresses and volumes of this stack, as virsh lists them."""
        handle = libvirt.open(self._site.uri)
        try:
            volumes = set(handle.storagePoolLookupByName(self._site.pool).listVolumes())
            public = handle.networkLookupByName(self._site.pool).XMLDesc()
            return {
                *(f"domain {_domain_title(domain)}" for domain in handle.listAllDomains() if self.short in domain.name()),
                *("network" for network in handle.listAllNetworks() if f"owner:{self._lineage}" in network.XMLDesc()),
                *(f"volume {name}" for name in volumes if self.short in name or self.digest[:16] in name),
                *(["address"] if f".{self.short}'" in public else []),
            }
        finally:
            handle.close()

    def expected(self, nodes: int) -> set[str]:
        names = ["hello-frontend", *(f"hello-compute-{index}" for index in range(nodes - 1))][:nodes]
        image = f"volume pragmaspec-{self.digest[:16]}"
        there = {
            f"{image}-disk.raw",
            f"{image}.{self.short}.ref",
            f"volume pragmaspec-{self.digest}.complete",
            "network",
            *(["address"] if nodes > 1 else []),
        }
        for name in names:
            base = f"{name}.{self.short}"
            there |= {f"domain {base}", *(f"volume {base}{end}" for end in (".qcow2", "-seed.iso", "-console.log"))}
        return there if nodes else set()


@pytest.fixture
def stack(tmp_path: Path, site: LibvirtSite, mortals: SubprocessApply) -> Iterator[Stack]:
    stack = Stack(tmp_path, site, mortals)
    yield stack
    check_equal(stack.apply("nothing"))
    assert stack.listing() == set()


def _domain_title(domain: libvirt.virDomain) -> str:
    """Its name, marked if it was left paused, which is never expected."""
    return f"{domain.name()}{' (paused)' if domain.state()[0] == libvirt.VIR_DOMAIN_PAUSED else ''}"


COMES = [point for point in (*COMING, "engine.boot.released", *LIBVIRT_COMING) if not point.startswith("store.")]
GOES = [*GOING, *LIBVIRT_GOING, "libvirt.network.stopped", "libvirt.image.incomplete"]
TOGETHER = {
    "engine.allocate.answered",
    "engine.boot.leaves",
    "engine.boot.answered",
    "engine.boot.released",
    "engine.bound",
    "libvirt.disk.made",
    "libvirt.domain.defined",
}
"""Failpoints that need a second node or a public address; elsewhere one node suffices, in a third of the time."""


@pytest.mark.parametrize(("comes", "goes"), list(zip_longest(COMES, GOES)))
def test_a_cluster_is_created_and_removed_despite_kills(stack: Stack, comes: str, goes: str | None) -> None:
    spec, nodes = ("pair", 2) if comes in TOGETHER else ("alone", 1)
    assert stack.apply(spec, f"{comes}:1:kill") is None
    check_equal(stack.apply(spec))
    assert stack.listing() == stack.expected(nodes)
    assert goes is None or stack.apply("nothing", f"{goes}:1:kill") is None
