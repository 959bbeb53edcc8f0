"""``image inspect``, ``convert`` and ``import``: disks in files."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pragmaspec.cli.completion import store_images
from pragmaspec.cli.options import JsonOption, StackOptions, examples, expand_option_groups, local_path
from pragmaspec.cli.terminal.screen import out

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pragmaspec.images.context import ImageContext
    from pragmaspec.images.importer import ImportedFile

_FORMATS = ("raw", "qcow2", "vmdk", "vdi", "vhd", "vhdx")
CLONEZILLA = "clonezilla"
FormatOption = Annotated[
    str | None,
    typer.Option(
        "--format",
        metavar="FORMAT",
        help=f"What the disk in the file is: {', '.join(_FORMATS)}. Default: what its bytes show.",
        autocompletion=lambda: list(_FORMATS),
    ),
]
MemberOption = Annotated[
    str,
    typer.Option("--member", metavar="PATH", help="Which file of an archive is the disk. Default: what its description says."),
]
NoPartitionsOption = Annotated[
    bool,
    typer.Option("--no-partitions", help="It needs no partition table: a kernel is given with it. Say --format raw, too."),
]


def register(app: typer.Typer) -> None:
    """Put the commands into ``app``."""
    _put(app, "inspect", inspect, "inspect disk.qcow2", "inspect appliance.ova --json", "inspect azure.vhd --format vhd")
    _put(
        app, "convert", convert,
        "convert disk.ova disk.qcow2", "convert debian-12 disk.vmdk", "convert disk.raw.xz disk.vhd.gz",
        "convert disk.qcow2 2026-11-01-img --to clonezilla",
    )  # fmt: skip
    _put(app, "import", import_, "import disk.qcow2", "import disk.vmdk --name rocky-9", "import vmlinuz initrd disk.qcow2")


def _put(app: typer.Typer, name: str, command: "Callable[..., None]", *lines: str) -> None:
    app.command(name, epilog=examples(*(f"image {line}" for line in lines)))(command)


def inspect(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A disk, also compressed or in an archive.", callback=local_path)],
    *,
    format_: FormatOption = None,
    member: MemberOption = "",
    no_partitions: NoPartitionsOption = False,
    json: JsonOption = False,
) -> None:
    """Tell what a file is, and whether a node may boot from it; if not, every reason. Changes nothing.

    Looks as hard as when an image is used: the whole of it is unpacked or converted, aside, and checked.
    """
    from pragmaspec.images.archives.layers import detect_disk_format
    from pragmaspec.images.disks.make_disk import make_disk
    from pragmaspec.images.firmware.detect import boot_support_of_file
    from pragmaspec.images.lookup import naming
    from pragmaspec.images.store.blobs import BlobStore
    from pragmaspec.images.store.conversion_cache import DiskOptions
    from pragmaspec.report.image_text import InspectedFile, inspected_json, inspected_text

    real = _workshop(file.name)
    options = DiskOptions(declared=format_, partitionless=no_partitions, member=member)
    with naming(str(file)), real.store.aside("inspect") as scratch:
        workshop = _workshop(file.name, BlobStore(scratch))
        layers, found = detect_disk_format(file, format_, member)
        made = make_disk(file, workshop, options, name=file.name)
        boots = None if no_partitions else boot_support_of_file(workshop.store.path(made.blob.sha256))
    seen = InspectedFile(
        file=str(file),
        layers=layers,
        format=found,
        virtual_size_bytes=made.virtual_size_bytes,
        becomes=made.format,
        digest=made.blob.sha256,
        size_bytes=made.blob.size_bytes,
        boots=boots,
    )
    if json:
        out().json(inspected_json(seen))
    else:
        out().write(inspected_text(seen, out().pen))


def convert(
    disk: Annotated[
        str,
        typer.Argument(
            metavar="FROM", help="A file, a Clonezilla directory, a URL, or an image of the store.", autocompletion=store_images
        ),
    ],
    target: Annotated[
        Path, typer.Argument(metavar="TO", help="A new file; its ending tells format and compression.", callback=local_path)
    ],
    *,
    to: Annotated[
        str | None,
        typer.Option(
            "--to",
            metavar="FORMAT",
            help=f"What to make: {', '.join((*_FORMATS, CLONEZILLA))}. Default: by the ending of TO.",
            autocompletion=lambda: [*_FORMATS, CLONEZILLA],
        ),
    ] = None,
    format_: FormatOption = None,
    member: MemberOption = "",
    no_partitions: NoPartitionsOption = False,
    force: Annotated[bool, typer.Option("--force", help="Replace TO when it is there.")] = False,
    json: JsonOption = False,
) -> None:
    """Convert a disk of any format to any other, with the same checks as for an image that is used.

    The same disk gives the same qcow2 file on every machine.
    """
    from pragmaspec.images.lookup import find_disk, naming
    from pragmaspec.images.store.conversion_cache import DiskOptions

    _refuse_existing(target, force=force and to != CLONEZILLA)
    writing = _writing(target, to)
    workshop = _workshop(disk)
    with naming(disk):
        path, made = find_disk(disk, workshop, DiskOptions(declared=format_, partitionless=no_partitions, member=member))
        writing(path, made.format, made.virtual_size_bytes, workshop)
    _tell_converted(target, made.virtual_size_bytes, json=json)


@expand_option_groups
def import_(
    files: Annotated[
        list[Path], typer.Argument(metavar="FILE...", help="Disks; or files that pragmaspec.lock asks for.", callback=local_path)
    ],
    *,
    name: Annotated[
        str | None, typer.Option("--name", metavar="NAME", help="What to call the disk. Default: by the file's name.")
    ] = None,
    format_: FormatOption = None,
    member: MemberOption = "",
    no_partitions: NoPartitionsOption = False,
    json: JsonOption = False,
    which: StackOptions,
) -> None:
    """Put files into the store of this machine: disks, or what a colleague's lock file asks for and no source gives any more.

    A disk is kept under its name until `image prune --forget NAME`, and the lines are shown by which a spec uses it. What
    pragmaspec.lock beside the spec names by digest is taken as it is.
    """
    from pragmaspec.errors import ImageError, PragmaspecError, Problem
    from pragmaspec.images.importer import import_file
    from pragmaspec.images.lookup import naming
    from pragmaspec.images.store.conversion_cache import DiskOptions
    from pragmaspec.stack.images.fetch import missing_files
    from pragmaspec.stack.location import image_store_directory

    names = _names(files, name)
    missing = _missing(which, lambda: missing_files(which.stack(), image_store_directory()))
    options = DiskOptions(declared=format_, partitionless=no_partitions, member=member)
    taken: list[ImportedFile] = []
    problems: list[Problem] = []
    for file, called in zip(files, names, strict=True):
        try:
            with naming(str(file)):
                taken.append(import_file(file, called, _workshop(called), missing, options))
        except PragmaspecError as error:
            problems += error.problems
    if not (problems and json):
        _tell(taken, json=json, bare=no_partitions)
    if problems:
        raise ImageError.of(problems)


def _names(files: "list[Path]", name: str | None) -> list[str]:
    """What each file is to be called. Raises UsageError for a name that a spec refuses, and for one name for several files."""
    from pragmaspec.errors import Problem, UsageError
    from pragmaspec.images.importer import invalid_name, is_spec_name, spec_name

    if name is None:
        return [spec_name(file.name.partition(".")[0]) for file in files]
    wrong = [] if is_spec_name(name) else [invalid_name(name)]
    if len(files) > 1:
        detail = f"--name gives one disk its name, and there are {len(files)} files. Import them one by one."
        wrong.append(Problem(summary="One name for several files", detail=detail))
    if wrong:
        raise UsageError.of(wrong)
    return [name]


def _tell(taken: "list[ImportedFile]", *, json: bool, bare: bool) -> None:
    from pragmaspec.images.importer import spec_lines
    from pragmaspec.text import size

    if json:
        out().json({"kind": "imported", "format": 1, "files": [_form(each) for each in taken]})
        return
    for each in taken:
        disk = f"a disk of {size(each.made.virtual_size_bytes)}" if each.made else ""
        kept = f", kept as {each.entry.name}" if each.entry else ""
        out().say(f"{each.file}: {each.answers or disk}{kept}")
    entries = {each.entry.name: each.entry for each in taken if each.entry}
    lines = [f"  {line}\n" for entry in entries.values() for line in spec_lines(entry, partitionless=bare)]
    if lines:
        out().write("\nimages:\n" + "".join(lines))


def _tell_converted(target: Path, virtual_size_bytes: int, *, json: bool) -> None:
    from pragmaspec.text import size as words

    size = target.stat().st_size if target.is_file() else None
    if json:
        form = {"kind": "converted", "format": 1, "file": str(target), "size_bytes": size}
        out().json({**form, "virtual_size_bytes": virtual_size_bytes})
    else:
        room = "" if size is None else f", a file of {words(size)}"
        out().say(f"{target}: a disk of {words(virtual_size_bytes)}{room}.")


def _writing(target: Path, to: str | None) -> "Callable[[Path, str, int, ImageContext], None]":
    """What writes the disk to ``target``. Raises UsageError before anything was done when nothing can."""
    if to == CLONEZILLA:
        from pragmaspec.images.clonezilla.write import WriteOptions, write_clonezilla

        return lambda path, format_, _, workshop: write_clonezilla(
            path, format_, target.absolute(), WriteOptions(), workshop.step
        )
    from pragmaspec.images.disks.convert import conversion_target, convert_disk

    wanted = conversion_target(target, to)
    return lambda path, format_, size, workshop: convert_disk(
        path, format_, size, wanted, lambda done, total: workshop.step("writing", done, total)
    )


def _refuse_existing(target: Path, *, force: bool) -> None:
    from pragmaspec.errors import UsageError

    if target.exists() and not force:
        detail = f"{target} is there already, and would be replaced. Name another file, or say --force."
        raise UsageError("File exists", detail)


def _missing(which: StackOptions, look: "Callable[[], Mapping[str, str]]") -> "Mapping[str, str]":
    """What the lock file asks for; nothing where there is no spec, unless one was named."""
    from pragmaspec.errors import UsageError

    try:
        return look()
    except UsageError:
        if which.spec:
            raise
        return {}


def _form(taken: "ImportedFile") -> dict[str, object]:
    form: dict[str, object] = {"file": str(taken.file), "sha256": taken.blob.sha256, "size_bytes": taken.blob.size_bytes}
    made = taken.made
    form["disk"] = {"format": made.format, "virtual_size_bytes": made.virtual_size_bytes} if made else None
    return {**form, "answers": taken.answers or None, "name": taken.entry.name if taken.entry else None}


def _workshop(name: str, store: object = None) -> "ImageContext":
    from pragmaspec.cli.terminal.image_progress import image_progress
    from pragmaspec.images.context import ImageContext
    from pragmaspec.images.store.blobs import BlobStore
    from pragmaspec.stack.location import image_store_directory

    where = store if isinstance(store, BlobStore) else BlobStore(image_store_directory())
    return ImageContext(where, name, image_progress(), first_use=True)
