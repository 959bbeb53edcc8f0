"""From the spec file to what it wants; the fast way when nothing it depends on has changed."""

import re
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING

from pragmaspec._version import __version__
from pragmaspec.errors import Problem, SpecError, Where
from pragmaspec.files import read_regular
from pragmaspec.paths import home
from pragmaspec.planning.wanted import Wanted
from pragmaspec.spec.fields.default_keys import AGENT_ENTRY, agent_socket, default_keys_digest
from pragmaspec.stack.location import LOCK_FILE, StackLocation, image_store_directory, is_url, user_config_directory
from pragmaspec.state.spec_cache import SpecCache, file_digest

if TYPE_CHECKING:
    from collections.abc import Callable

    from pragmaspec.images.library import ImageLibrary
    from pragmaspec.images.reporter import ImageReporter
    from pragmaspec.spec.loaded_spec import LoadedSpec

_READ_BYTES = 4 * 2**20
_IMAGE_PATH = re.compile(r"""\b(?:source|kernel|initrd)["']?[ \t]*:[ \t]*(?:"([^"\n]+)"|'([^'\n]+)'|([^\s"'][^,}\n]*))""")


def read_wanted(
    place: StackLocation,
    library: "Callable[[], ImageLibrary]",
    reporter: "ImageReporter | None" = None,
    *,
    locked: bool = False,
    need: frozenset[str] | None = None,
) -> Wanted:
    """What the spec of ``place`` wants. Raises SpecError with every problem, and ImageError.

    May build or download an image whose digest nobody knows yet, which ``reporter`` is told. ``locked``: images count only as
    the lock file has them, so nothing that was read before is believed. ``need``: the clusters whose images, keys and user-data
    are of use, None: all; nothing is built, downloaded or asked for the others, and what cannot be told of them stays unknown.
    """
    if need is not None and place.spec is None:
        return _unwritten(place)
    spec = place.spec_file
    cache = SpecCache(__version__)
    context = _context(spec)
    kept = None if locked or need is not None else cache.get(spec, context)
    if kept is not None and kept.spec_file == str(spec):
        return kept
    return _read(place, library(), reporter, cache) if need is None else _read_part(place, library, reporter, need)


def _read_part(
    place: StackLocation, library: "Callable[[], ImageLibrary]", reporter: "ImageReporter | None", need: frozenset[str]
) -> Wanted:
    from pragmaspec.images.known import known_image
    from pragmaspec.images.store.blobs import BlobStore
    from pragmaspec.planning.expand import expand, images_named, images_needed
    from pragmaspec.spec.loader import load_spec

    try:
        loaded = load_spec(place.spec_file, need=need)
        check_stack_name(place, loaded)
        check_state(place, loaded)
    except SpecError as error:
        raise SpecError.of([*error.problems, _without_spec(place)]) from None
    models, needed, store = loaded.model.images, images_needed(loaded), BlobStore(image_store_directory())
    images = {
        name: library().resolve(models[name], name, loaded.directory, loaded.where(("images", name)), reporter)
        if name in needed
        else known_image(store, models[name], name, loaded.directory)
        for name in images_named(loaded)
    }
    return expand(loaded, {name: image for name, image in images.items() if image is not None})


def _read(place: StackLocation, library: "ImageLibrary", reporter: "ImageReporter | None", cache: SpecCache) -> Wanted:
    from pragmaspec.planning.expand import expand, images_needed
    from pragmaspec.spec.loader import load_spec
    from pragmaspec.stack.images.usage import record_use

    spec = place.spec_file
    loaded = load_spec(spec)
    check_stack_name(place, loaded)
    check_state(place, loaded)
    images = {
        name: library.resolve(loaded.model.images[name], name, loaded.directory, loaded.where(("images", name)), reporter)
        for name in images_needed(loaded)
    }
    if library.locked:
        library.remove_stale(loaded.directory, loaded.model.images)
    wanted = expand(loaded, images)
    record_use(place, wanted, image_store_directory())
    if library.lasting and _paths_known(spec, loaded):
        lock = (loaded.directory / LOCK_FILE).absolute()
        files = (entry for entry in loaded.files if entry[0] != AGENT_ENTRY)  # the agent is part of the context
        cache.put(spec, wanted, (*files, (str(lock), file_digest(lock))), _context(spec))
    return wanted


def _without_spec(place: StackLocation) -> Problem:
    state = place.state if is_url(place.state) else str(Path(place.state).absolute())
    return Problem(
        summary="The spec cannot be used",
        detail="This command needs no more of it than its clusters and sites, and it has to be sound for that. In a folder "
        "without a spec `boot`, `shutdown` and `clean` go by what is recorded alone: `pragmaspec clean CLUSTER --state "
        f"{quote(state)}`.",
    )


def _unwritten(place: StackLocation) -> Wanted:
    """A spec that wants nothing, for a stack of which only the state was named: what is recorded can be switched and cleaned."""
    return Wanted(spec_file=f"the state at {place.state}", spec_sha256="", sites=(), images=(), clusters=(), need=())


def check_stack_name(place: StackLocation, loaded: "LoadedSpec") -> None:
    """Refuse a ``stack:`` that was written in a way which the quick look for it does not see."""
    said = loaded.model.stack
    if said is not None and said != place.name:
        raise SpecError(
            "Unusual `stack`",
            f"Write `stack: {said}` on a line of its own, without indentation, anchors or flow style: other commands "
            "look for it without reading the whole spec.",
            where=Where(file=str(place.spec_file), line=loaded.where(("stack",)).line),
        )


def check_state(place: StackLocation, loaded: "LoadedSpec") -> None:
    """Refuse a ``state:`` that was written in a way which the quick look for it does not see."""
    said = loaded.model.state
    seen = place.spec_state
    if (said.url if said else "", said is not None and said.encrypt) != (seen.url, seen.encrypt is True):
        raise SpecError(
            "Unusual `state`",
            "Write `state: URL` on a line of its own, without indentation or anchors, or `state:` with `url:` and "
            "`encrypt:` on indented lines below it: other commands look for it without reading the whole spec.",
            where=Where(file=str(place.spec_file), line=loaded.where(("state",)).line),
        )


def site_position(place: StackLocation, name: str) -> Where | None:
    """Where the site ``name`` is written, in the spec or a file of sites; None when it is in neither, or they cannot be read."""
    from pragmaspec.spec.loader import load_spec

    if place.spec is None:
        return None
    try:
        loaded = load_spec(place.spec_file)
    except SpecError:
        return None
    return loaded.where(("sites", name)) if name in loaded.site_documents else None


def _context(spec: Path) -> str:
    """What the reading depends on beside the content of small files: folders, and what local disks look like from outside.

    A disk of gigabytes is not read again for every plan; it counts as unchanged while name, size and times are.
    """
    looks = [f"{path} {_look(spec.parent / path)}" for path in sorted(_image_paths(spec))]
    keys = default_keys_digest(home(), agent_socket())
    return "\n".join((str(home()), str(user_config_directory()), str(image_store_directory()), keys, *looks))


def _image_paths(spec: Path) -> set[str]:
    """Local paths in the spec's images, found without reading it as YAML."""
    try:
        text = read_regular(spec, _READ_BYTES).decode(errors="replace")
    except OSError:
        return set()
    found = (
        next(group for group in match.groups() if group is not None).split(" #")[0].strip()
        for match in _IMAGE_PATH.finditer(text)
    )
    return {path for path in found if "://" not in path}


def _paths_known(spec: Path, loaded: "LoadedSpec") -> bool:
    """Whether the quick look sees every local disk of the spec: only then may the spec be kept. It sees into no folder."""
    models = loaded.model.images.values()
    if any(model.clonezilla or model.pragma for model in models):
        return False
    paths = {path for model in models for path in (model.source, model.kernel, model.initrd) if path}
    return {path for path in paths if "://" not in path} <= _image_paths(spec)


def _look(path: Path) -> str:
    try:
        seen = path.stat()
    except OSError:
        return "absent"
    return f"{seen.st_dev} {seen.st_ino} {seen.st_size} {seen.st_mtime_ns} {seen.st_ctime_ns}"
