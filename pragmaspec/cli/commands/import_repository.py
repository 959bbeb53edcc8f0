"""``import repository``, and ``list repository`` with an argument: PRAGMA repositories."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pragmaspec.cli.command_group import command_group
from pragmaspec.cli.options import JsonOption, SpecOption, examples
from pragmaspec.cli.terminal.screen import err, out

if TYPE_CHECKING:
    from pragmaspec.images.pragma.importer import SpecAdditions

_ClustersArgument = Annotated[
    list[str] | None,
    typer.Argument(metavar="CLUSTER", help="Names of clusters. Default: all usable ones.", show_default=False),
]
app = command_group("Import images and clusters.")


def register(parent: typer.Typer) -> None:
    """Add the group ``import`` to ``parent``."""
    parent.add_typer(app, name="import", epilog=examples("import repository ./vm-images", "import repository URL centos7"))


def show_repository(address: str, *, json: bool) -> None:
    """Print the clusters of the PRAGMA repository at ``address``: a path or URL of its directory or its vcdb.txt."""
    from pragmaspec.cli.image_context import image_context
    from pragmaspec.images.pragma.importer import list_clusters
    from pragmaspec.net.urls import redact_url
    from pragmaspec.report.pragma_text import appliances_json, appliances_text

    listed = list_clusters(address, image_context("repository"))
    if json:
        out().json(appliances_json(listed, redact_url(address)))
    else:
        out().write(appliances_text(listed, out().style))


@app.command(
    "repository",
    epilog=examples("import repository ./vm-images", "import repository https://host/vm-images centos7 --site lab"),
)
def import_repository(
    address: Annotated[
        str, typer.Argument(metavar="REPOSITORY", help="Path or URL of a PRAGMA repository: of its directory, or its vcdb.txt.")
    ],
    names: _ClustersArgument = None,
    *,
    spec: SpecOption = None,
    site: Annotated[
        str | None, typer.Option("--site", metavar="SITE", help="Also add the clusters, at this site.", show_default=False)
    ] = None,
    called: Annotated[
        str | None,
        typer.Option("--as", metavar="NAME", help="New name for the cluster; requires a single CLUSTER.", show_default=False),
    ] = None,
    show: Annotated[bool, typer.Option("--print", help="Print the resulting spec instead of writing it.")] = False,
    json: JsonOption = False,
) -> None:
    """Add images of a PRAGMA repository to the spec, preserving its comments and order.

    `list repository REPOSITORY` lists the content. Disks are downloaded by the first `plan` that needs them.
    """
    from pragmaspec.cli.image_context import image_context
    from pragmaspec.cli.site_selection import require_site
    from pragmaspec.images.pragma.importer import ImportSelection, add_to_spec, list_clusters, relative_to_spec, spec_additions
    from pragmaspec.spec.loader import load_spec
    from pragmaspec.stack.location import locate_stack

    file = locate_stack(spec).spec_file
    before = _read(file)
    if site is not None:
        require_site(site, load_spec(file).model.sites)
    selection = ImportSelection(names=tuple(names or ()), site=site or "", called=called or "")
    new = spec_additions(list_clusters(address, image_context("repository")), relative_to_spec(address, file), selection)
    changed = add_to_spec(before, new, str(file))
    if show:
        out().write(changed)
        return
    _write(file, changed)
    _print_additions(new, file, json=json)


def _read(spec: Path) -> str:
    """Return the text of the spec. Raises SpecError if it does not exist, or is not text."""
    from pragmaspec.errors import Problem, SpecError
    from pragmaspec.files import read_regular
    from pragmaspec.spec.yaml.text import FILE_SIZE_MAX

    try:
        return read_regular(spec, FILE_SIZE_MAX + 1).decode()
    except FileNotFoundError:
        problem = Problem(summary="No spec", detail=f"There is no {spec}. `pragmaspec init` writes one.")
    except UnicodeDecodeError as error:
        problem = Problem(summary="Spec not readable", detail=f"Byte {error.start + 1} of {spec} is not valid UTF-8.")
    except OSError as error:
        problem = Problem(summary="Spec not readable", detail=f"{spec} cannot be read: {error.strerror}.")
    raise SpecError.of([problem])


def _write(spec: Path, text: str) -> None:
    """Replace the spec by ``text``, keeping links and the file mode. Raises UsageError if it cannot be written."""
    from pragmaspec.errors import UsageError
    from pragmaspec.images.store.blobs import write_atomically

    target = spec.resolve()
    try:
        write_atomically(target, text.encode(), mode=target.stat().st_mode & 0o777)
    except OSError as error:
        raise UsageError("File not writable", f"{spec}: {error.strerror}.") from None


def _print_additions(new: "SpecAdditions", file: Path, *, json: bool) -> None:
    for one in new.skipped:
        err().line(f"skipped {one.name}: {one.trouble}")
    if json:
        left_out = [{"name": one.name, "trouble": one.trouble} for one in new.skipped]
        form = {"spec": str(file), "images": list(new.images), "clusters": list(new.clusters), "left_out": left_out}
        out().json({"kind": "import", "format": 1, **form})
        return
    for name in new.images:
        out().line(f"image {name}")
    for name in new.clusters:
        out().line(f"cluster {name}")
    out().line(f"written to {file}" if new.images else f"{file} is unchanged")
