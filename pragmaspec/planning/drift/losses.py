"""Losses of a machine besides its first disk: further disks, snapshots, saved memory, manual additions. Pure."""

from collections.abc import Iterable

from msgspec.structs import replace

from pragmaspec.planning.drift.condition import Condition, layer_text
from pragmaspec.planning.plan import Action
from pragmaspec.planning.storage.disks import discarded_disks
from pragmaspec.resources import Node


def with_losses(actions: Iterable[Action], machine: Condition, fields: tuple[str, ...]) -> list[Action]:
    """Return ``actions`` on one node, whose ``fields`` change, with their losses and the way a boot repairs the machine.

    A boot that keeps the definition starts from the newest layer and loses nothing; one that rewrites it starts from the recorded
    disk. Saved memory fits only the machine as saved. New definitions keep manual additions, and removing the machine removes
    them; additions to the running machine only are lost when it is switched off.
    """
    found = list(actions)
    rebuilt = any(action.verb == "clean" for action in found)
    return [_with_loss(action, machine, fields) if action.verb == "clean" or not rebuilt else action for action in found]


def with_discards(actions: Iterable[Action]) -> list[Action]:
    """Return ``actions`` on one node, with the disks that its boot removes. A clean removes all of them anyway."""
    found = list(actions)
    rebuilt = any(action.verb == "clean" for action in found)
    return found if rebuilt else [_with_discards(action) for action in found]


def _with_discards(action: Action) -> Action:
    before, after = action.before, action.resource
    if action.verb != "boot" or not isinstance(before, Node) or not isinstance(after, Node):
        return action
    discards = tuple(disk.name for disk in discarded_disks(before, after))
    return replace(action, discards=discards, impact="data-loss") if discards else action


def _with_loss(action: Action, machine: Condition, fields: tuple[str, ...]) -> Action:
    lost = tuple(layer_text(layer, cleaned=action.verb == "clean") for layer in machine.layers)
    if action.verb == "clean":
        # No remedy: the disk to merge the layers into is removed too.
        return replace(action, loses=lost, drops=(*machine.additions, *machine.passing))
    if action.verb == "shutdown":
        return replace(action, drops=machine.passing)
    if action.verb != "boot":
        return action
    forgets = machine.loses_memory_by(fields)
    if lost and machine.is_redefined_by(fields):
        return replace(action, loses=lost, remedy=machine.remedy, impact="data-loss", forgets=forgets)
    if forgets:
        return replace(action, forgets=True, impact="reboot")
    return replace(action, way=machine.way)
