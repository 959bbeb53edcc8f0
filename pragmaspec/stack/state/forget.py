"""Removes the local files of a stack without resources: its state, key, ssh files and cached spec."""

import shutil
from contextlib import suppress
from typing import TYPE_CHECKING

from pragmaspec._version import __version__
from pragmaspec.errors import PlanRefusedError
from pragmaspec.stack.location import StackLocation

if TYPE_CHECKING:
    from pragmaspec.state.store import Store


def forget_stack(location: StackLocation, store: "Store") -> bool:
    """Remove the state in ``store`` and the stack's key, and return True if there was a state.

    Raises PlanRefusedError while resources are recorded.
    """
    from pragmaspec.access.ssh_files import ssh_directory
    from pragmaspec.state.spec_cache import SpecCache
    from pragmaspec.state.stack_key import key_file
    from pragmaspec.text import counted

    there = store.exists()
    if there:
        with store.session("forget") as session:
            state = session.state
            if state.records:
                raise PlanRefusedError(
                    "The stack still has resources",
                    f"Still recorded: {counted(len(state.records), 'resource')}, such as {state.records[0].address}. "
                    "Clean its clusters first, and remove its volumes (`pragmaspec clean --volume`): `pragmaspec list cluster` "
                    "and `list volume` show them. Nothing was changed.",
                )
            store.remove()  # before the key, without which an encrypted state could not be read any more
            shutil.rmtree(ssh_directory(state.lineage), ignore_errors=True)
            with suppress(FileNotFoundError):
                key_file(state.lineage).unlink()
        default = location.default_state
        if default is not None:
            with suppress(OSError):
                default.parent.rmdir()  # `state/`, if this was its last stack
    if location.spec is not None:
        SpecCache(__version__).forget(location.spec)
    return there
