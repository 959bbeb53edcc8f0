"""``image inspect``, ``image convert`` and ``image import``: disks in files."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pragmaspec.cli.completion import store_images
from pragmaspec.cli.options import JsonOption, StackOptions, examples, expand_option_groups, local_path
from pragmaspec.cli.terminal.screen import out

if TYPE_CHECKING:
    from pragmaspec.images.context import ImageContext
    from pragmaspec.images.importer import ImportedFile
    from pragmaspec.images.store.conversion_cache import DiskOptions

_FORMATS = ("raw", "qcow2", "vmdk", "vdi", "vhd", "vhdx")
CLONEZILLA = "clonezilla"
FormatOption = Annotated[
    str | None,
    typer.Option(
        "--format",
        metavar="FORMAT",
        help=f"Format of the disk in the file: {', '.join(_FORMATS)}. Default: detected.",
        autocompletion=lambda: list(_FORMATS),
    ),
]
MemberOption = Annotated[
    str,
    typer.Option("--member", metavar="PATH", help="Path of the disk in an archive. Default: detected."),
]
NoPartitionsOption = Annotated[
    bool,
    typer.Option("--no-partitions", help="Accept a disk without partition table, for use with a kernel. Add --format raw."),
]

SourceArgument = Annotated[
    str,
    typer.Argument(
        metavar="FROM",
        help="A file, a Clonezilla directory, a URL, or the name of an image in the store.",
        autocompletion=store_images,
    ),
]
TargetArgument = Annotated[
    Path,
    typer.Argument(metavar="TO", help="A new file; its extension selects format and compression.", callback=local_path),
]
TargetFormatOption = Annotated[
    str | None,
    typer.Option(
        "--to",
        metavar="FORMAT",
        help=f"Target format: {', '.join((*_FORMATS, CLONEZILLA))}. Default: by the extension of TO.",
        autocompletion=lambda: [*_FORMATS, CLONEZILLA],
    ),
]


@dataclass(frozen=True)
class DiskFileOptions:
    """Format and location of a disk in a file."""

    format_: FormatOption = None
    member: MemberOption = ""
    no_partitions: NoPartitionsOption = False

    def options(self) -> "DiskOptions":
        """Return the options for the image store."""
        from pragmaspec.images.store.conversion_cache import DiskOptions

        return DiskOptions(declared=self.format_, partitionless=self.no_partitions, member=self.member)


def register(app: typer.Typer) -> None:
    """Add the commands to ``app``."""
    _add(app, "inspect", inspect, "inspect disk.qcow2", "inspect appliance.ova --json", "inspect azure.vhd --format vhd")
    _add(
        app, "convert", convert,
        "convert disk.ova disk.qcow2", "convert debian-12 disk.vmdk", "convert disk.raw.xz disk.vhd.gz",
        "convert disk.qcow2 2026-11-01-img --to clonezilla",
    )  # fmt: skip
    _add(app, "import", import_, "import disk.qcow2", "import disk.vmdk --name rocky-9", "import vmlinuz initrd disk.qcow2")


def _add(app: typer.Typer, name: str, command: Callable[..., None], *lines: str) -> None:
    app.command(name, epilog=examples(*(f"image {line}" for line in lines)))(command)


@expand_option_groups
def inspect(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="A disk, optionally compressed or in an archive.", callback=local_path)
    ],
    *,
    disk_options: DiskFileOptions,
    json: JsonOption = False,
) -> None:
    """Show the format of a file, and if a node can boot from it; if not, all reasons. Changes nothing.

    Performs the same checks as for an image in use: the whole disk is unpacked or converted to a temporary file.
    """
    from pragmaspec.cli.image_context import image_context, open_store
    from pragmaspec.images.archives.layers import detect_disk_format
    from pragmaspec.images.disks.make_disk import make_disk
    from pragmaspec.images.firmware.detect import boot_support_of_file
    from pragmaspec.images.lookup import naming
    from pragmaspec.images.store.blobs import BlobStore
    from pragmaspec.report.image_text import InspectedFile, inspected_json, inspected_text

    with naming(str(file)), open_store().aside("inspect") as scratch:
        context = image_context(file.name, BlobStore(scratch), first_use=True)
        layers, found = detect_disk_format(file, disk_options.format_, disk_options.member)
        disk = make_disk(file, context, disk_options.options(), name=file.name)
        boots = None if disk_options.no_partitions else boot_support_of_file(context.store.path(disk.blob.sha256))
    inspected = InspectedFile(
        file=str(file),
        layers=layers,
        format=found,
        virtual_size_bytes=disk.virtual_size_bytes,
        becomes=disk.format,
        digest=disk.blob.sha256,
        size_bytes=disk.blob.size_bytes,
        boots=boots,
    )
    if json:
        out().json(inspected_json(inspected))
    else:
        out().write(inspected_text(inspected, out().style))


@expand_option_groups
def convert(
    source: SourceArgument,
    target: TargetArgument,
    *,
    to: TargetFormatOption = None,
    disk_options: DiskFileOptions,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing file.")] = False,
    json: JsonOption = False,
) -> None:
    """Convert a disk between any two formats, with the same checks as for an image in use.

    The same disk gives the same qcow2 file on every machine.
    """
    from pragmaspec.cli.image_context import image_context
    from pragmaspec.images.lookup import find_disk, naming

    _refuse_existing(target, force=force and to != CLONEZILLA)
    write = _writer(target, to)
    context = image_context(source, first_use=True)
    with naming(source):
        path, disk = find_disk(source, context, disk_options.options())
        write(path, disk.format, disk.virtual_size_bytes, context)
    _print_converted(target, disk.virtual_size_bytes, json=json)


@expand_option_groups
def import_(
    files: Annotated[
        list[Path], typer.Argument(metavar="FILE...", help="Disks, or files pinned in pragmaspec.lock.", callback=local_path)
    ],
    *,
    name: Annotated[
        str | None, typer.Option("--name", metavar="NAME", help="Name of the disk. Default: by the name of the file.")
    ] = None,
    disk_options: DiskFileOptions,
    json: JsonOption = False,
    stack_options: StackOptions,
) -> None:
    """Add files to the store of this machine: disks, or pinned files that no source provides any more.

    A disk is kept under its name until `image prune --forget NAME`; the entry for the spec is printed. Files that
    pragmaspec.lock beside the spec pins by digest are stored unchanged.
    """
    from pragmaspec.cli.image_context import image_context
    from pragmaspec.errors import ImageError, PragmaspecError, Problem
    from pragmaspec.images.importer import import_file
    from pragmaspec.images.lookup import naming

    names = _names(files, name)
    missing = _missing_files(stack_options)
    options = disk_options.options()
    imported: list[ImportedFile] = []
    problems: list[Problem] = []
    for file, disk_name in zip(files, names, strict=True):
        try:
            with naming(str(file)):
                imported.append(import_file(file, disk_name, image_context(disk_name, first_use=True), missing, options))
        except PragmaspecError as error:
            problems += error.problems
    if not (problems and json):
        _print_imported(imported, json=json, partitionless=disk_options.no_partitions)
    if problems:
        raise ImageError.of(problems)


def _names(files: list[Path], name: str | None) -> list[str]:
    """Return a name for each file. Raises UsageError for an invalid name, and for one name for several files."""
    from pragmaspec.errors import Problem, UsageError
    from pragmaspec.images.importer import invalid_name, is_spec_name, spec_name

    if name is None:
        return [spec_name(file.name.partition(".")[0]) for file in files]
    problems = [] if is_spec_name(name) else [invalid_name(name)]
    if len(files) > 1:
        detail = f"--name is the name of a single disk, and there are {len(files)} files. Import them one by one."
        problems.append(Problem(summary="One name for several files", detail=detail))
    if problems:
        raise UsageError.of(problems)
    return [name]


def _missing_files(stack_options: StackOptions) -> Mapping[str, str]:
    """Return the files that the lock file pins and the store lacks; none without a spec, unless one was given."""
    from pragmaspec.errors import UsageError
    from pragmaspec.stack.images.fetch import missing_files
    from pragmaspec.stack.images.store_directory import image_store_directory

    try:
        return missing_files(stack_options.stack(), image_store_directory())
    except UsageError:
        if stack_options.spec:
            raise
        return {}


def _writer(target: Path, to: str | None) -> "Callable[[Path, str, int, ImageContext], None]":
    """Return a function that writes a disk to ``target``. Raises UsageError for an impossible target."""
    if to == CLONEZILLA:
        from pragmaspec.images.clonezilla.write import WriteOptions, write_clonezilla

        return lambda path, format_, _, context: write_clonezilla(path, format_, target.absolute(), WriteOptions(), context.step)
    from pragmaspec.images.disks.convert import conversion_target, convert_disk

    wanted = conversion_target(target, to)
    return lambda path, format_, size, context: convert_disk(
        path, format_, size, wanted, lambda done, total: context.step("writing", done, total)
    )


def _refuse_existing(target: Path, *, force: bool) -> None:
    from pragmaspec.errors import UsageError

    if target.exists() and not force:
        raise UsageError("File exists", f"{target} exists and would be replaced. Name another file, or use --force.")


def _print_converted(target: Path, virtual_size_bytes: int, *, json: bool) -> None:
    from pragmaspec.text import size

    size_bytes = target.stat().st_size if target.is_file() else None
    if json:
        form = {"kind": "converted", "format": 1, "file": str(target), "size_bytes": size_bytes}
        out().json({**form, "virtual_size_bytes": virtual_size_bytes})
    else:
        file_size = "" if size_bytes is None else f" in a file of {size(size_bytes)}"
        out().line(f"{target}: a disk of {size(virtual_size_bytes)}{file_size}.")


def _print_imported(imported: "list[ImportedFile]", *, json: bool, partitionless: bool) -> None:
    from pragmaspec.images.importer import spec_lines
    from pragmaspec.text import size

    if json:
        out().json({"kind": "imported", "format": 1, "files": [_imported_json(each) for each in imported]})
        return
    for each in imported:
        disk = f"a disk of {size(each.made.virtual_size_bytes)}" if each.made else ""
        name = f", stored as {each.entry.name}" if each.entry else ""
        out().line(f"{each.file}: {each.answers or disk}{name}")
    entries = {each.entry.name: each.entry for each in imported if each.entry}
    lines = [f"  {line}\n" for entry in entries.values() for line in spec_lines(entry, partitionless=partitionless)]
    if lines:
        out().write("\nimages:\n" + "".join(lines))


def _imported_json(imported: "ImportedFile") -> dict[str, object]:
    disk, blob, entry = imported.made, imported.blob, imported.entry
    return {
        "file": str(imported.file),
        "sha256": blob.sha256,
        "size_bytes": blob.size_bytes,
        "disk": {"format": disk.format, "virtual_size_bytes": disk.virtual_size_bytes} if disk else None,
        "answers": imported.answers or None,
        "name": entry.name if entry else None,
    }
