"""Fingerprints of the observed objects that a plan touches. Applying a saved plan fails if they have changed. Pure."""

from collections.abc import Iterable, Mapping
from hashlib import sha256

import msgspec
from msgspec.structs import replace

from pragmaspec.planning.moves.moves import moved_state
from pragmaspec.planning.moves.readdress import observations_by_origin
from pragmaspec.planning.observed import Observations, Observed
from pragmaspec.planning.plan import Action, Plan
from pragmaspec.resources import StagedImage
from pragmaspec.state_model import State

Fingerprints = tuple[tuple[str, str], ...]
"""Sorted pairs of an address and 16 hexadecimal digits of a digest of its observed objects; missing objects have none."""


def fingerprints(actions: Iterable[Action], state: State, observations: Mapping[str, Observations]) -> Fingerprints:
    """Return the fingerprints of all objects at the observed sites that ``actions`` touch."""
    return tuple(sorted(_by_address(_touched(actions, state, observations), observations).items()))


def with_fingerprints(plan: Plan, state: State, observations: Mapping[str, Observations]) -> Plan:
    """Return ``plan``, which was made from ``state`` and ``observations``, with fingerprints."""
    moved = moved_state(state, plan.moves)
    return replace(plan, fingerprints=fingerprints(plan.actions, moved, observations_by_origin(observations, moved, plan.moves)))


def changed_since(
    before: Fingerprints, actions: Iterable[Action], state: State, observations: Mapping[str, Observations]
) -> tuple[str, ...]:
    """Return the addresses of touched objects whose fingerprints differ from ``before``.

    Pending resources do not count: resuming their operation determines their progress.
    """
    touched = _touched(actions, state, observations)
    then, now = dict(before), _by_address(touched, observations)
    return tuple(sorted(address for address in touched.values() if then.get(address) != now.get(address)))


def _touched(actions: Iterable[Action], state: State, observations: Mapping[str, Observations]) -> dict[str, str]:
    """Map the marked address of each touched object to its recorded one. Images are excluded: they are never changed in place."""
    found: dict[str, str] = {}
    for action in actions:
        if action.resource.site not in observations or isinstance(action.resource, StagedImage):
            continue
        record = state.record(action.address)
        if record is None or record.status != "pending":
            found[record.original_address if record else action.address] = action.address
    return found


def _by_address(touched: Mapping[str, str], observations: Mapping[str, Observations]) -> dict[str, str]:
    objects: dict[str, list[Observed]] = {}
    for seen in observations.values():
        for each in seen.marked:
            if each.address in touched:
                objects.setdefault(touched[each.address], []).append(replace(each, made=0.0))
    return {address: _digest(found) for address, found in objects.items()}


def _digest(found: list[Observed]) -> str:
    encoded = sorted(msgspec.json.encode(each) for each in found)
    return sha256(b"\n".join(encoded)).hexdigest()[:16]
