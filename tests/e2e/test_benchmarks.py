"""The largest benchmark leaves nothing at the hypervisor when it is terminated, nor of an earlier run that was killed."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import libvirt
import pytest

from tests.e2e.workspace import connect

pytestmark = pytest.mark.guest

PROGRAM = Path(__file__).parents[2] / "benchmarks" / "bring_up.py"
NAME = "pragmaspec-bench"
LIMIT_S = 240


def test_a_killed_benchmark_is_cleaned_up_by_the_next(hypervisor: None, tiny_image: Path, tmp_path: Path) -> None:
    connection = connect()
    before = _listing(connection)
    killed = _begun(tmp_path)
    _until(killed, lambda: any(name.startswith(f"{NAME}-frontend.") for name in _domains(connection)))
    killed.kill()
    killed.communicate(timeout=LIMIT_S)
    left = _listing(connection)
    assert {kind for kind, _ in left - before} >= {"domain", "network", "pool", "address"}

    ended = _begun(tmp_path)
    _until(ended, lambda: f"{NAME}-shell-0" in _domains(connection))
    ended.terminate()
    output = ended.communicate(timeout=LIMIT_S)[0]
    assert ended.returncode == 143, output
    assert _listing(connection) == before
    assert list(Path("/var/lib/libvirt").glob(f"{NAME}*")) == []
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == []


def _begun(directory: Path) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, str(PROGRAM), "--nodes", "1", "--rounds", "1", "--until-ssh"],
        env={**os.environ, "TMPDIR": str(directory)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def _until(process: "subprocess.Popen[str]", condition: Callable[[], bool]) -> None:
    limit = time.monotonic() + LIMIT_S
    while not condition():
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < limit
        time.sleep(0.02)


def _domains(connection: libvirt.virConnect) -> set[str]:
    return {domain.name() for domain in connection.listAllDomains()}


def _listing(connection: libvirt.virConnect) -> set[tuple[str, str]]:
    """Domains, networks and pools by name, and the addresses reserved in the network "default"."""
    default = connection.networkLookupByName("default")
    shown = default.XMLDesc(), default.XMLDesc(libvirt.VIR_NETWORK_XML_INACTIVE)
    return {
        *(("domain", name) for name in _domains(connection)),
        *(("network", network.name()) for network in connection.listAllNetworks()),
        *(("pool", pool.name()) for pool in connection.listAllStoragePools()),
        *(("address", line.strip()) for text in shown for line in text.splitlines() if "<host " in line),
    }
