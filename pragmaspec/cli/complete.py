"""What the shell offers for a half-typed argument: names from the recorded state, quickly, and never an error."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pragmaspec.recorded import State


def specs(incomplete: str) -> list[str]:
    """YAML files and folders that go on from what was typed."""
    from pathlib import Path

    folder = Path(incomplete).parent if "/" in incomplete else Path()
    try:
        found = sorted(path for path in folder.iterdir() if path.is_dir() or path.suffix in (".yaml", ".yml"))
    except OSError:
        return []
    names = [f"{path}/" if path.is_dir() else str(path) for path in found if not path.name.startswith(".")]
    return [name for name in names if name.startswith(incomplete)]


def nodes(incomplete: str) -> list[str]:
    """Names of recorded nodes."""
    state = _state()
    return [node.name for node in state.nodes() if node.name.startswith(incomplete)] if state else []


def clusters(incomplete: str) -> list[str]:
    """Names of recorded clusters."""
    from pragmaspec.stack.verbs import recorded_clusters

    state = _state()
    return [name for name in recorded_clusters(state) if name.startswith(incomplete)] if state else []


def addresses(incomplete: str) -> list[str]:
    """Addresses of everything recorded."""
    state = _state()
    return [record.address for record in state.records if record.address.startswith(incomplete)] if state else []


def _state() -> "State | None":
    """What is recorded in a folder. One elsewhere is not asked: that would take longer than typing the name."""
    from pragmaspec.errors import PragmaspecError
    from pragmaspec.stack.place import find_place
    from pragmaspec.stack.recording import open_store

    try:
        place = find_place(_option("--spec", "-s"), _option("--state"))
        return None if place.remote else open_store(place).read()
    except (PragmaspecError, OSError):
        return None


def _option(*names: str) -> str | None:
    """The value of an option that stands on the line being typed."""
    import os
    import shlex

    try:
        words = shlex.split(os.environ.get("COMP_WORDS") or os.environ.get("_TYPER_COMPLETE_ARGS", ""))
    except ValueError:  # an open quote
        return None
    for at, word in enumerate(words):
        name, _, value = word.partition("=")
        if name in names:
            return value or (words[at + 1] if at + 1 < len(words) else None)
    return None
