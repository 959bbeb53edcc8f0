"""Resolves a spec file to the wanted clusters, from a cache while nothing that it depends on has changed."""

from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING

from pragmaspec._version import __version__
from pragmaspec.errors import Problem, SpecError, Where
from pragmaspec.paths import config_home, home
from pragmaspec.planning.wanted import Wanted
from pragmaspec.spec.fields.default_keys import AGENT_ENTRY, agent_socket, default_keys_digest
from pragmaspec.spec.peek import peek
from pragmaspec.stack.images.store_directory import image_store_directory
from pragmaspec.stack.location import LOCK_FILE, StackLocation
from pragmaspec.state.spec_cache import SpecCache, file_digest

if TYPE_CHECKING:
    from collections.abc import Callable

    from pragmaspec.images.library import ImageLibrary
    from pragmaspec.images.reporter import ImageReporter
    from pragmaspec.spec.loaded_spec import LoadedSpec


def read_wanted(
    location: StackLocation,
    library: "Callable[[], ImageLibrary]",
    reporter: "ImageReporter | None" = None,
    *,
    locked: bool = False,
    need: frozenset[str] | None = None,
) -> Wanted:
    """Return the wanted clusters of the spec. Raises SpecError with every problem, and ImageError.

    May build or download an image whose digest is not known yet, and reports it to ``reporter``. ``locked``: require all images
    to match the lock file, and bypass the cache. ``need``: the clusters whose images, keys and user-data are needed, None: all.
    For the others nothing is built, downloaded or read from an agent, and their unknown values stay unknown.
    """
    if need is not None and location.spec is None:
        return _without_spec(location)
    spec = location.spec_file
    cache = SpecCache(__version__)
    context = _context(spec)
    cached = None if locked or need is not None else cache.get(spec, context)
    if cached is not None and cached.spec_file == str(spec):
        return cached
    return _read(location, library(), reporter, cache) if need is None else _read_part(location, library, reporter, need)


def _read_part(
    location: StackLocation, library: "Callable[[], ImageLibrary]", reporter: "ImageReporter | None", need: frozenset[str]
) -> Wanted:
    from pragmaspec.images.known import known_image
    from pragmaspec.images.store.blobs import BlobStore
    from pragmaspec.planning.expand import expand, images_named, images_needed, site_images_named, site_images_needed
    from pragmaspec.spec.loader import load_spec
    from pragmaspec.stack.images.processors import with_pinned_processors
    from pragmaspec.stack.images.site_images import known_site_images, resolve_site_images

    try:
        loaded = load_spec(location.spec_file, need=need)
        check_stack_name(location, loaded)
        check_state(location, loaded)
    except SpecError as error:
        raise SpecError.of([*error.problems, _advice_without_spec(location)]) from None
    models, needed, store = loaded.model.images, images_needed(loaded), BlobStore(image_store_directory())
    images = {
        name: library().resolve(models[name], name, loaded.directory, loaded.where(("images", name)), reporter)
        if name in needed
        else known_image(store, models[name], name, loaded.directory)
        for name in images_named(loaded)
    }
    resolved = resolve_site_images(loaded, site_images_needed(loaded))
    others = set(site_images_named(loaded)).difference(site_images_needed(loaded))
    site_images = (*resolved, *known_site_images(loaded, sorted(others)))
    known = {name: image for name, image in images.items() if image is not None}
    return with_pinned_processors(loaded, expand(loaded, known, site_images))


def _read(location: StackLocation, library: "ImageLibrary", reporter: "ImageReporter | None", cache: SpecCache) -> Wanted:
    from pragmaspec.planning.expand import expand, images_needed, site_images_needed
    from pragmaspec.spec.loader import load_spec
    from pragmaspec.stack.images.processors import with_pinned_processors
    from pragmaspec.stack.images.site_images import resolve_site_images
    from pragmaspec.stack.images.usage import record_use

    spec = location.spec_file
    loaded = load_spec(spec)
    check_stack_name(location, loaded)
    check_state(location, loaded)
    images = {
        name: library.resolve(loaded.model.images[name], name, loaded.directory, loaded.where(("images", name)), reporter)
        for name in images_needed(loaded)
    }
    if library.locked:
        library.remove_stale(loaded.directory, [name for name, model in loaded.model.images.items() if model.origin])
    wanted = expand(loaded, images, resolve_site_images(loaded, site_images_needed(loaded), locked=library.locked))
    wanted = with_pinned_processors(loaded, wanted, locked=library.locked)
    record_use(location, wanted, image_store_directory())
    if library.lasting and _can_detect_changes(spec, loaded):
        lock = (loaded.directory / LOCK_FILE).absolute()
        files = (entry for entry in loaded.files if entry[0] != AGENT_ENTRY)  # the agent is part of the context
        cache.put(spec, wanted, (*files, *loaded.plugin_files, (str(lock), file_digest(lock))), _context(spec))
    return wanted


def _advice_without_spec(location: StackLocation) -> Problem:
    return Problem(
        summary="The spec cannot be used",
        detail="This command needs only the clusters and sites of the spec, but these must be valid. In a directory without a "
        "spec, `boot`, `shutdown`, `clean` and `list site` use the recorded state alone, with "
        f"`--state {quote(location.absolute_state)}`.",
    )


def _without_spec(location: StackLocation) -> Wanted:
    """The empty spec of a stack that was located by its state alone. Recorded clusters can still be switched and cleaned."""
    return Wanted(spec_file=f"the state at {location.state}", spec_sha256="", sites=(), images=(), clusters=(), need=())


def check_stack_name(location: StackLocation, loaded: "LoadedSpec") -> None:
    """Raise SpecError if ``stack:`` is written in a form that :mod:`pragmaspec.spec.peek` does not find."""
    name = loaded.model.stack
    if name is not None and name != location.name:
        raise SpecError(
            "Unusual `stack`",
            f"Write `stack: {name}` on a line of its own, without indentation, anchors or flow style: other commands "
            "look it up without parsing the whole spec.",
            where=Where(file=str(location.spec_file), line=loaded.where(("stack",)).line),
        )


def check_state(location: StackLocation, loaded: "LoadedSpec") -> None:
    """Raise SpecError if ``state:`` is written in a form that :mod:`pragmaspec.spec.peek` does not find."""
    setting, peeked = loaded.model.state, location.spec_state
    if (setting.url if setting else "", setting is not None and setting.encrypt) != (peeked.url, peeked.encrypt is True):
        raise SpecError(
            "Unusual `state`",
            "Write `state: URL` on a line of its own, without indentation or anchors, or `state:` with `url:` and "
            "`encrypt:` on indented lines below it: other commands look it up without parsing the whole spec.",
            where=Where(file=str(location.spec_file), line=loaded.where(("state",)).line),
        )


def site_position(location: StackLocation, name: str) -> Where | None:
    """Return the position of the site ``name`` in the spec or a sites file; None if it is in neither, or they are unreadable."""
    from pragmaspec.spec.loader import load_spec

    if location.spec is None:
        return None
    try:
        loaded = load_spec(location.spec_file)
    except SpecError:
        return None
    return loaded.where(("sites", name)) if name in loaded.site_documents else None


def _context(spec: Path) -> str:
    """The dependencies of a resolved spec besides the contents of small files: paths, keys, and metadata of local disks.

    A local disk may be gigabytes large, so it counts as unchanged while name, size and times are the same.
    """
    disks = [f"{path} {_file_metadata(spec.parent / path)}" for path in sorted(peek(spec).image_paths)]
    keys = default_keys_digest(home(), agent_socket())
    return "\n".join((str(home()), str(config_home() / "pragmaspec"), str(image_store_directory()), keys, *disks))


def _can_detect_changes(spec: Path, loaded: "LoadedSpec") -> bool:
    """True if the context covers all local disks of the spec, so that it may be cached. It covers no files inside directories."""
    models = loaded.model.images.values()
    if any(model.clonezilla or model.pragma for model in models):
        return False
    paths = {path for model in models for path in (model.source, model.kernel, model.initrd) if path}
    return {path for path in paths if "://" not in path} <= peek(spec).image_paths


def _file_metadata(path: Path) -> str:
    try:
        status = path.stat()
    except OSError:
        return "absent"
    return f"{status.st_dev} {status.st_ino} {status.st_size} {status.st_mtime_ns} {status.st_ctime_ns}"
