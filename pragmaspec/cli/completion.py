"""Shell completion of arguments: files, and names from the recorded state, the spec and the image store. Never fails."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pragmaspec.spec.models.cluster import SpecModel
    from pragmaspec.state_model import State


def specs(incomplete: str) -> list[str]:
    """Return YAML files and directories."""
    from pathlib import Path

    directory = Path(incomplete).parent if "/" in incomplete else Path()
    try:
        found = sorted(path for path in directory.iterdir() if path.is_dir() or path.suffix in (".yaml", ".yml"))
    except OSError:
        return []
    names = [f"{path}/" if path.is_dir() else str(path) for path in found if not path.name.startswith(".")]
    return [name for name in names if name.startswith(incomplete)]


def nodes(incomplete: str) -> list[str]:
    """Return the names of recorded nodes."""
    state = _state()
    return [node.name for node in state.nodes() if node.name.startswith(incomplete)] if state else []


def clusters(incomplete: str) -> list[str]:
    """Return the names of recorded clusters."""
    from pragmaspec.stack.cluster_requests import recorded_clusters

    state = _state()
    return [name for name in recorded_clusters(state) if name.startswith(incomplete)] if state else []


def volume_names(incomplete: str) -> list[str]:
    """Return the names of recorded volumes; addresses where several sites have one of that name."""
    from pragmaspec.stack.named_volumes import shortest_names

    state = _state()
    return sorted(name for name in shortest_names(state) if name.startswith(incomplete)) if state else []


def addresses(incomplete: str) -> list[str]:
    """Return the addresses of all records, and the names of recorded nodes."""
    state = _state()
    found = [record.address for record in state.records if record.address.startswith(incomplete)] if state else []
    return found + nodes(incomplete)


def parts(incomplete: str) -> list[str]:
    """Return everything that selects a part of a plan: recorded addresses, and names of nodes, clusters, volumes and images."""
    from pragmaspec.resources import StagedImage, Volume

    state, spec = _state(), _spec()
    names = {*(spec.clusters if spec else ()), *(spec.images if spec else ())}
    for record in state.records if state else ():
        resource = record.resource
        names |= {resource.name} if isinstance(resource, StagedImage | Volume) else {resource.cluster}
    return addresses(incomplete) + sorted(name for name in names if name.startswith(incomplete))


def sites(incomplete: str) -> list[str]:
    """Return the names of the sites in the spec and in the recorded state."""
    state, spec = _state(), _spec()
    names = {*(spec.sites if spec else ()), *(site.name for site in (state.sites if state else ()))}
    return sorted(name for name in names if name.startswith(incomplete))


def spec_images(incomplete: str) -> list[str]:
    """Return the names of the images in the spec."""
    spec = _spec()
    return [name for name in spec.images if name.startswith(incomplete)] if spec else []


def _state() -> "State | None":
    """Return the recorded state if it is local: a remote one takes longer to read than the name to type."""
    from pragmaspec.errors import PragmaspecError
    from pragmaspec.stack.location import locate_stack
    from pragmaspec.stack.state.access import open_store

    try:
        location = locate_stack(_option("--spec", "-s"), _option("--state"))
        return None if location.remote else open_store(location).read()
    except (PragmaspecError, OSError):
        return None


def _spec() -> "SpecModel | None":
    """Return the spec if it is valid."""
    from pragmaspec.errors import PragmaspecError
    from pragmaspec.spec.loader import load_spec
    from pragmaspec.stack.location import locate_stack

    try:
        return load_spec(locate_stack(_option("--spec", "-s"), _option("--state")).spec_file).model
    except (PragmaspecError, OSError):
        return None


def _option(*names: str) -> str | None:
    """Return the value of an option on the command line that is being completed."""
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


def store_images(incomplete: str) -> list[str]:
    """Return the names of the images in the store."""
    from pragmaspec.images.catalogue import Catalogue
    from pragmaspec.images.store.blobs import BlobStore
    from pragmaspec.stack.images.store_directory import image_store_directory

    try:
        names = {entry.name for entry in Catalogue(BlobStore(image_store_directory())).all()}
    except OSError:
        return []
    return sorted(name for name in names if name.startswith(incomplete))
