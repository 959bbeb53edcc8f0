"""A spec that would begin a second stack, although the state of the first is there under the name that the spec had before."""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING

from pragmaspec.errors import PragmaspecError, Problem, SpecError, UsageError
from pragmaspec.stack.cluster_requests import recorded_clusters
from pragmaspec.stack.location import StackLocation, find_specs, stack_name
from pragmaspec.stack.state.access import refuse_unmigrated_state, store_at

if TYPE_CHECKING:
    from pragmaspec.state.store import Store


def refuse_moved_state(place: StackLocation, store: "Store") -> None:
    """Raise UsageError when the state of ``place`` is to begin in ``store`` although it stands somewhere else."""
    refuse_unmigrated_state(place, store)
    refuse_second_stack(place, store)


def refuse_second_stack(place: StackLocation, store: "Store") -> None:
    """Raise UsageError when nothing is recorded of ``place``, and clusters of its spec are recorded by a stack without a spec.

    Its clusters would be made a second time. Only folders where the state is by default depend on the name of a file, and who
    names a place for the state means it.
    """
    usual = place.default_state
    if place.spec is None or usual is None or place.state_from_spec or place.state_from_caller:
        return
    if os.path.lexists(usual / "state.json") or not usual.parent.is_dir() or store.exists():
        return
    for folder in _without_spec(place.spec, usual.parent):
        common = _clusters(place) & _recorded(folder)
        if common:
            raise UsageError.of([_second(place, usual, folder, sorted(common))])


def _without_spec(spec: Path, states: Path) -> Iterator[Path]:
    """Folders of ``states`` that hold the state of a stack which no spec that is known has."""
    named = {stack_name(other) for other in find_specs(spec.parent)}
    used = _used_elsewhere(spec)
    for folder in sorted(states.iterdir()):
        if (folder / "state.json").is_file() and folder.name not in named and os.path.realpath(folder) not in used:
            yield folder


def _used_elsewhere(spec: Path) -> frozenset[str]:
    """Folders where specs of other names or places, as far as this machine has seen them, record their state."""
    from pragmaspec.images.store.blobs import BlobStore
    from pragmaspec.images.store.usage import stack_usages
    from pragmaspec.stack.images.store_directory import image_store_directory

    with suppress(PragmaspecError, OSError):
        return frozenset(
            os.path.realpath(user.state)
            for user in stack_usages(BlobStore(image_store_directory()))
            if user.spec and Path(user.spec).exists() and os.path.realpath(user.spec) != os.path.realpath(spec)
        )
    return frozenset()


def _clusters(place: StackLocation) -> set[str]:
    """The names of the spec's clusters; none when it cannot be read, or names its stack in an unusual way: that is told later."""
    from pragmaspec.spec.yaml.parser import read_document
    from pragmaspec.spec.yaml.tree import Mapping, plain_data

    try:
        items = read_document(place.spec_file.read_bytes(), str(place.spec)).root.items
    except (OSError, SpecError):
        return set()
    clusters, stack = items.get("clusters"), items.get("stack")
    told_otherwise = stack is not None and plain_data(stack) != place.name
    return set(clusters.items) if isinstance(clusters, Mapping) and not told_otherwise else set()


def _recorded(folder: Path) -> set[str]:
    """The names of the clusters that are recorded in ``folder``; none when it cannot be read."""
    try:
        return set(recorded_clusters(store_at(str(folder)).read()))
    except PragmaspecError:
        return set()


def _second(place: StackLocation, usual: Path, folder: Path, common: list[str]) -> Problem:
    clusters = f"cluster{'s' if len(common) > 1 else ''} {', '.join(common)}"
    move = f"mv {quote(str(folder))} {quote(str(usual))}"
    return Problem(
        summary="The state has another name than the spec",
        detail=f"Nothing is recorded at {usual}, so {place.spec} would begin a second stack. {folder} records {clusters} of a "
        f"stack for which there is no spec here. If {place.spec} is that spec under a new name, write `stack: {folder.name}` in "
        f"it, or rename the folder: `{move}` (`git {move}` where it is committed). If a second stack is meant, say so once with "
        f"`--state {quote(str(usual))}`. Nothing was changed.",
    )
