"""Removing what is recorded of a stack that has nothing left anywhere: its state, its key, its ssh files."""

import shutil
from contextlib import suppress

from pragmaspec.errors import PlanRefusedError, Problem
from pragmaspec.store.local import LocalStore


def forget_stack(store: LocalStore) -> None:
    """Remove the state in ``store`` with the stack's secret. Raises PlanRefusedError while anything is recorded."""
    if not store.exists():
        return
    from pragmaspec.access.ssh_files import ssh_directory
    from pragmaspec.store.stack_key import key_file

    with store.session("forget") as session:
        state = session.state
        if state.records:
            raise PlanRefusedError(
                Problem(
                    summary="The stack still has something",
                    detail=f"{len(state.records)} things are recorded, such as {state.records[0].address}. Clean its clusters "
                    "first: `pragmaspec list cluster` shows them. Nothing was changed.",
                )
            )
        shutil.rmtree(ssh_directory(state.lineage), ignore_errors=True)
        with suppress(FileNotFoundError):
            key_file(state.lineage).unlink()
        shutil.rmtree(store.directory)
    with suppress(OSError):
        store.directory.parent.rmdir()  # `state/`, when this was its last stack
