"""Detects a spec that would start a second stack, because the state of the first has the spec's former name."""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING

from pragmaspec.errors import PragmaspecError, SpecError, UsageError
from pragmaspec.stack.cluster_requests import recorded_clusters
from pragmaspec.stack.location import StackLocation, find_specs, stack_name
from pragmaspec.stack.state.access import refuse_unmigrated_state, store_at

if TYPE_CHECKING:
    from pragmaspec.state.store import Store


def refuse_moved_state(location: StackLocation, store: "Store") -> None:
    """Raise UsageError if ``store`` is empty although the state of the stack exists elsewhere."""
    refuse_unmigrated_state(location, store)
    refuse_second_stack(location, store)


def refuse_second_stack(location: StackLocation, store: "Store") -> None:
    """Raise UsageError if the stack is not recorded, but clusters of its spec are, by a stack without a spec.

    Its clusters would be created a second time. Applies to default state directories only, as no other depends on the name of the
    spec file.
    """
    default = location.default_state
    if location.spec is None or default is None or location.state_from_spec or location.state_from_caller:
        return
    if os.path.lexists(default / "state.json") or not default.parent.is_dir() or store.exists():
        return
    for directory in _without_spec(location.spec, default.parent):
        common = _clusters(location) & _recorded(directory)
        if common:
            raise _second_stack(location, default, directory, sorted(common))


def _without_spec(spec: Path, states: Path) -> Iterator[Path]:
    """Yield the directories in ``states`` with the state of a stack that has no known spec."""
    named = {stack_name(other) for other in find_specs(spec.parent)}
    used = _used_elsewhere(spec)
    for directory in sorted(states.iterdir()):
        if (directory / "state.json").is_file() and directory.name not in named and os.path.realpath(directory) not in used:
            yield directory


def _used_elsewhere(spec: Path) -> frozenset[str]:
    """The state directories of other specs that this machine has seen."""
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


def _clusters(location: StackLocation) -> set[str]:
    """The cluster names of the spec; none if it is invalid or has an unusual ``stack:``, which is reported later."""
    from pragmaspec.spec.yaml.parser import read_document
    from pragmaspec.spec.yaml.tree import Mapping, plain_data

    try:
        items = read_document(location.spec_file.read_bytes(), str(location.spec)).root.items
    except (OSError, SpecError):
        return set()
    clusters, stack = items.get("clusters"), items.get("stack")
    has_other_name = stack is not None and plain_data(stack) != location.name
    return set(clusters.items) if isinstance(clusters, Mapping) and not has_other_name else set()


def _recorded(directory: Path) -> set[str]:
    """The names of the clusters recorded in ``directory``; none if it is unreadable."""
    try:
        return set(recorded_clusters(store_at(str(directory)).read()))
    except PragmaspecError:
        return set()


def _second_stack(location: StackLocation, default: Path, directory: Path, common: list[str]) -> UsageError:
    clusters = f"cluster{'s' if len(common) > 1 else ''} {', '.join(common)}"
    move = f"mv {quote(str(directory))} {quote(str(default))}"
    return UsageError(
        "The state has another name than the spec",
        f"Nothing is recorded at {default}, so {location.spec} would start a second stack. {directory} records {clusters} "
        f"of a stack for which there is no spec here. If {location.spec} is that spec under a new name, write "
        f"`stack: {directory.name}` in it, or rename the directory: `{move}` (`git {move}` where it is committed). If a second "
        f"stack is intended, confirm it once with `--state {quote(str(default))}`. Nothing was changed.",
    )
