"""PRAGMA repositories: ``list repository URL`` and ``import repository URL``."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pragmaspec.cli.options import JsonOption, SpecOption, examples
from pragmaspec.cli.terminal.screen import err, out

if TYPE_CHECKING:
    from pragmaspec.images.context import ImageContext
    from pragmaspec.images.pragma.importer import SpecAdditions

app = typer.Typer(
    help="Take images and clusters over from elsewhere.",
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def register(parent: typer.Typer) -> None:
    """Put ``import`` into ``parent``."""
    parent.add_typer(app, name="import", epilog=examples("import repository ./vm-images", "import repository URL centos7"))


def show_repository(address: str, *, json: bool) -> None:
    """Print what the PRAGMA repository at ``address`` (a path or URL, of its folder or its vcdb.txt) holds."""
    from pragmaspec.images.pragma.importer import list_clusters
    from pragmaspec.net.urls import redact_url
    from pragmaspec.report.pragma_text import appliances_json, appliances_text

    listed = list_clusters(address, _workshop())
    if json:
        out().json(appliances_json(listed, redact_url(address)))
    else:
        out().write(appliances_text(listed, out().pen))


@app.command(
    "repository",
    epilog=examples("import repository ./vm-images", "import repository https://host/vm-images centos7 --site lab"),
)
def import_repository(
    address: Annotated[
        str, typer.Argument(metavar="REPOSITORY", help="Path or URL of a PRAGMA repository: of its folder, or its vcdb.txt.")
    ],
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="CLUSTER", help="Only these. Default: all that can be used.", show_default=False),
    ] = None,
    *,
    spec: SpecOption = None,
    site: Annotated[
        str | None, typer.Option("--site", metavar="SITE", help="Write the clusters, too, for this site.", show_default=False)
    ] = None,
    called: Annotated[
        str | None,
        typer.Option("--as", metavar="NAME", help="What to call the one cluster that is named.", show_default=False),
    ] = None,
    show: Annotated[bool, typer.Option("--print", help="Print the spec as it would be, and write nothing.")] = False,
    json: JsonOption = False,
) -> None:
    """Write images of a PRAGMA repository into the spec, whose comments and order stay.

    `list repository REPOSITORY` shows what there is. Disks are fetched by the first `plan` that needs them.
    """
    from pragmaspec.images.pragma.importer import ImportSelection, add_to_spec, list_clusters, relative_to_spec, spec_additions
    from pragmaspec.stack.location import locate_stack

    file = locate_stack(spec).spec_file
    before = _read(file)
    if site is not None:
        _refuse_unknown(site, file)
    chosen = ImportSelection(names=tuple(names or ()), site=site or "", called=called or "")
    new = spec_additions(list_clusters(address, _workshop()), relative_to_spec(address, file), chosen)
    changed = add_to_spec(before, new, str(file))
    if show:
        out().write(changed)
        return
    _write(file, changed)
    _tell(new, file, json=json)


def _read(spec: Path) -> str:
    """The text of the spec. Raises SpecError when it is not there, or is no text."""
    from pragmaspec.errors import Problem, SpecError
    from pragmaspec.files import read_regular
    from pragmaspec.spec.yaml.text import FILE_SIZE_MAX

    try:
        return read_regular(spec, FILE_SIZE_MAX + 1).decode()
    except FileNotFoundError:
        problem = Problem(summary="No spec", detail=f"There is no {spec}. `pragmaspec init` writes one.")
    except UnicodeDecodeError as error:
        problem = Problem(summary="Spec not readable", detail=f"Byte {error.start + 1} of {spec} is not text in UTF-8.")
    except OSError as error:
        problem = Problem(summary="Spec not readable", detail=f"{spec} cannot be read: {error.strerror}.")
    raise SpecError.of([problem])


def _write(spec: Path, text: str) -> None:
    """Put ``text`` in place of the spec; links to it and its mode stay. Raises UsageError when it cannot be written."""
    from pragmaspec.errors import UsageError
    from pragmaspec.images.store.blobs import write_atomically

    target = spec.resolve()
    try:
        write_atomically(target, text.encode(), mode=target.stat().st_mode & 0o777)
    except OSError as error:
        raise UsageError("File not writable", f"{spec}: {error.strerror}.") from None


def _refuse_unknown(site: str, spec: Path) -> None:
    """Raises UsageError for a site that the spec does not have, and SpecError when the spec is not sound."""
    from pragmaspec.errors import UsageError
    from pragmaspec.spec.loader import load_spec

    known = load_spec(spec).model.sites
    if site not in known:
        names = ", ".join(sorted(known)) or "none"
        raise UsageError("No such site", f"Nothing is called {site}. Known sites: {names}.")


def _tell(new: "SpecAdditions", file: Path, *, json: bool) -> None:
    for one in new.skipped:
        err().say(f"left out {one.name}: {one.trouble}")
    if json:
        left_out = [{"name": one.name, "trouble": one.trouble} for one in new.skipped]
        form = {"spec": str(file), "images": list(new.images), "clusters": list(new.clusters), "left_out": left_out}
        out().json({"kind": "import", "format": 1, **form})
        return
    for name in new.images:
        out().say(f"image {name}")
    for name in new.clusters:
        out().say(f"cluster {name}")
    out().say(f"written to {file}" if new.images else f"{file} is as it was")


def _workshop() -> "ImageContext":
    from pragmaspec.cli.terminal.image_progress import image_progress
    from pragmaspec.images.context import ImageContext
    from pragmaspec.images.store.blobs import BlobStore
    from pragmaspec.stack.location import image_store_directory

    return ImageContext(BlobStore(image_store_directory()), "repository", image_progress())
