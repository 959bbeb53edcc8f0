"""SIGKILL in the middle of an apply, at many moments; then one apply, and what is recorded is what is there."""

import subprocess
import sys
from pathlib import Path

import pytest

from pragmaspec.engine.apply import apply_plan
from pragmaspec.recorded import Node
from pragmaspec.store.local import LocalStore
from tests.engine.fake_site import FakeSite, applying, bring_up, plan_for


class SiteOnDisk(FakeSite):
    """A site that outlives the process: every object is a file."""

    def __init__(self, folder: Path) -> None:
        super().__init__(after=self._announce)
        self.folder = folder
        folder.mkdir(exist_ok=True)

    def _announce(self, verb, address):
        (self.folder / address.replace("/", "_")).touch()
        sys.stdout.write(f"{verb} {address}\n")
        sys.stdout.flush()

    def present(self) -> set[str]:
        return {path.name.replace("_", "/") for path in self.folder.iterdir()}


def run(directory: Path) -> None:
    """Apply whatever is not ready yet of a small cluster."""
    store = LocalStore(directory / "state")
    with applying(store, SiteOnDisk(directory / "site"), directory) as context:
        ready = {record.address for record in context.session.state.records if record.status == "ready"}
        left = [action for action in bring_up(5) if action.address not in ready]
        apply_plan(plan_for(context.session.state, *left), context)


@pytest.mark.parametrize("moment", range(9))
def test_one_apply_after_a_kill_converges(tmp_path, moment):
    script = f"from pathlib import Path; from tests.engine.test_kill import run; run(Path({str(tmp_path)!r}))"
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for _ in range(moment):
            process.stdout.readline()
        process.kill()
    store, site = LocalStore(tmp_path / "state"), SiteOnDisk(tmp_path / "site")
    assert site.present() <= {record.address for record in store.read().records}, "nothing is there that is not recorded"
    run(tmp_path)
    state = store.read()
    assert {record.address for record in state.records} == site.present()
    assert {record.status for record in state.records} == {"ready"}
    assert len([record for record in state.records if isinstance(record.resource, Node)]) == 6
