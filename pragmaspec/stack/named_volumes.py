"""Finds the volumes that a command names: by name, or by address where several sites have one of that name."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

from pragmaspec.errors import Problem, UsageError
from pragmaspec.planning.moves.moves import moved_state, planned_moves
from pragmaspec.planning.request import PlanRequest
from pragmaspec.resources import Volume
from pragmaspec.state_model import State
from pragmaspec.text import did_you_mean, joined

if TYPE_CHECKING:
    from pragmaspec.stack.planning import Planner


class KnownVolume(NamedTuple):
    """A recorded volume. ``volume`` has the name and site that a plan gives it, ``recorded`` those before its renames."""

    volume: Volume
    recorded: Volume

    @property
    def labels(self) -> frozenset[str]:
        """The names and addresses of the volume."""
        return frozenset((self.volume.name, self.volume.address, self.recorded.name, self.recorded.address))


def known_volumes(planner: "Planner", request: PlanRequest) -> list[KnownVolume]:
    """Return the recorded volumes as a plan for ``request`` sees them: after the renames in its scope."""
    state = planner.state
    recorded = {record.original_address: record.resource for record in state.records}
    moved = moved_state(state, planned_moves(planner.wanted, state, request))
    return [
        KnownVolume(record.resource, before)
        for record in moved.records
        if isinstance(record.resource, Volume) and isinstance(before := recorded[record.original_address], Volume)
    ]


def volume_addresses(names: Iterable[str], known: Sequence[KnownVolume]) -> tuple[str, ...]:
    """Return the addresses of the volumes ``names``. Raises UsageError for those that none or several have."""
    found, problems = [], []
    for name in dict.fromkeys(names):
        matching = [each for each in known if name in each.labels]
        if len(matching) == 1:
            found.append(matching[0].volume.address)
        else:
            problems.append(_ambiguous(name, matching) if matching else _unknown(name, known))
    if problems:
        raise UsageError.of(problems)
    return tuple(dict.fromkeys(found))


def shortest_names(state: State) -> Iterator[str]:
    """Yield the name of each recorded volume; its address where another site has a volume of that name."""
    volumes = [record.resource for record in state.records if isinstance(record.resource, Volume)]
    number = Counter(volume.name for volume in volumes)
    yield from (volume.name if number[volume.name] == 1 else volume.address for volume in volumes)


def _ambiguous(name: str, matching: Sequence[KnownVolume]) -> Problem:
    addresses = [each.recorded.address for each in matching]
    return Problem(
        summary="Several volumes have this name",
        detail=f"{name} is {joined(addresses)}. Give the address of the one to remove: `--volume {addresses[0]}`.",
    )


def _unknown(name: str, known: Sequence[KnownVolume]) -> Problem:
    labels = sorted({each.recorded.address if "/" in name else each.recorded.name for each in known})
    every = f"Recorded volumes: {joined(labels) or 'none'}."
    return Problem(summary="No such volume", detail=f"{name} is not recorded. {did_you_mean(name, labels, every)}")
