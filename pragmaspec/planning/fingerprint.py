"""What a plan saw of the objects it touches, in short: who applies it looks again, and refuses if they are otherwise. Pure."""

from collections.abc import Iterable, Mapping
from hashlib import sha256

import msgspec
from msgspec.structs import replace

from pragmaspec.planning.moves.moves import moved_state
from pragmaspec.planning.moves.readdress import by_origin
from pragmaspec.planning.observed import Observations, Observed
from pragmaspec.planning.plan import Action, Plan
from pragmaspec.resources import StagedImage
from pragmaspec.state_model import State

Fingerprints = tuple[tuple[str, str], ...]
"""Address and 16 hexadecimal digits over what was seen of it, sorted; an address that is not there had nothing."""


def fingerprints(actions: Iterable[Action], state: State, observations: Mapping[str, Observations]) -> Fingerprints:
    """Of everything at the observed sites that ``actions`` touch."""
    return tuple(sorted(_seen(_touched(actions, state, observations), observations).items()))


def with_fingerprints(plan: Plan, state: State, observations: Mapping[str, Observations]) -> Plan:
    """``plan``, which was made from ``state`` and ``observations``, with what was seen of everything that it touches."""
    moved = moved_state(state, plan.moves)
    left = {move.before for move in plan.moves if move.kind == "site"}
    looked = {name: by_origin(seen, moved) for name, seen in observations.items() if name not in left}
    return replace(plan, fingerprints=fingerprints(plan.actions, moved, looked))


def changed_since(
    before: Fingerprints, actions: Iterable[Action], state: State, observations: Mapping[str, Observations]
) -> tuple[str, ...]:
    """Addresses of what ``actions`` touch that is not as it was ``before``.

    What is pending counts for nothing: how far it has come is found out when it is gone on with.
    """
    touched = _touched(actions, state, observations)
    then, now = dict(before), _seen(touched, observations)
    return tuple(sorted(address for address in touched.values() if then.get(address) != now.get(address)))


def _touched(actions: Iterable[Action], state: State, observations: Mapping[str, Observations]) -> dict[str, str]:
    """Address of each touched object, by the address that its marks carry. An image is put there and removed, never changed."""
    found: dict[str, str] = {}
    for action in actions:
        if action.resource.site not in observations or isinstance(action.resource, StagedImage):
            continue
        record = state.record(action.address)
        if record is None or record.status != "pending":
            found[record.original_address if record else action.address] = action.address
    return found


def _seen(touched: Mapping[str, str], observations: Mapping[str, Observations]) -> dict[str, str]:
    there: dict[str, list[Observed]] = {}
    for seen in observations.values():
        for each in seen.marked:
            if each.address in touched:
                there.setdefault(touched[each.address], []).append(replace(each, made=0.0))
    return {address: _digest(found) for address, found in there.items()}


def _digest(found: list[Observed]) -> str:
    whole = sorted(msgspec.json.encode(each) for each in found)
    return sha256(b"\n".join(whole)).hexdigest()[:16]
