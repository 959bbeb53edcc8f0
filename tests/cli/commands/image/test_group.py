"""``image``: text and JSON output of the store and of disk files."""

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer

from pragmaspec.cli.commands.image import group as image
from pragmaspec.errors import ImageError, PlanRefusedError, UsageError
from pragmaspec.images.store.blobs import BlobStore, file_sha256
from tests.cli.harness import CommandLine
from tests.images.bad_disks import bootable, converted, created

Run = Callable[..., str]


@pytest.fixture
def run(cli: CommandLine, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run ``image …``, expect the exit ``status``, and return the output."""

    def command(*arguments: str, status: int = 0) -> str:
        app = typer.Typer(rich_markup_mode=None)
        image.register(app)
        capsys.readouterr()
        found = typer.main.get_command(app).main(args=["image", *arguments], standalone_mode=False)
        assert (found or 0) == status
        return capsys.readouterr().out

    return command


@pytest.fixture
def store(cli: CommandLine) -> BlobStore:
    return BlobStore(cli.directory.parent / "home" / "cache" / "pragmaspec" / "images")


def written(cli: CommandLine, name: str, content: bytes) -> str:
    (cli.directory / name).write_bytes(content)
    return name


def stored(store: BlobStore, content: bytes) -> None:
    """Add a file without any metadata to the store."""
    part = store.part("test")
    part.write_bytes(content)
    store.adopt(part)


def parsed(text: str) -> Any:
    return json.loads(text)


def test_inspect_shows_format_and_content(cli: CommandLine, run: Run, tmp_path: Path, store: BlobStore) -> None:
    result = run("inspect", written(cli, "disk.raw.gz", gzip.compress(bootable())))
    assert [line.split()[0] for line in result.splitlines()] == ["file", "format", "disk", "converted", "sha256", "boots"]
    assert "raw in gzip" in result
    assert "converted  to qcow2, " in result
    form = parsed(run("inspect", written(cli, "disk.vmdk", converted(tmp_path, "vmdk")), "--json"))
    assert (form["kind"], form["layers"], form["disk_format"]) == ("inspected", [], "vmdk")
    assert form["becomes"]["disk_format"] == "qcow2"
    assert form["virtual_size_bytes"] == len(bootable())
    assert "converted  no" in run("inspect", written(cli, "disk.qcow2", converted(tmp_path, "qcow2")))
    assert not (store.directory / "sha256").exists(), "nothing was kept"
    assert list(store.incoming.iterdir()) == []


def test_inspect_lists_every_reason_for_a_refusal(cli: CommandLine, run: Run, tmp_path: Path) -> None:
    (tmp_path / "base.qcow2").write_bytes(created(tmp_path, "qcow2"))
    overlay = created(tmp_path, "qcow2", more=("-b", str(tmp_path / "base.qcow2"), "-F", "qcow2"))
    with pytest.raises(ImageError, match=r"Image overlay\.qcow2 refused: .*backing file"):
        run("inspect", written(cli, "overlay.qcow2", overlay))
    with pytest.raises(ImageError, match=r"Image overlay\.qcow2 refused: .*backing file"):
        run("convert", "overlay.qcow2", "new.raw")
    with pytest.raises(ImageError, match=r"Image empty refused: It is empty\."):
        run("inspect", written(cli, "empty", b""))
    with pytest.raises(ImageError, match="`--format raw` on the command line"):
        run("inspect", written(cli, "blank", bytes(2**20)))
    assert "yes, with the kernel of the spec" in run("inspect", "blank", "--format", "raw", "--no-partitions")
    with pytest.raises(ImageError, match=r"Image nosuch cannot be read: There is no file nosuch\.$"):
        run("inspect", "nosuch")


def test_convert_by_extension(cli: CommandLine, run: Run, tmp_path: Path) -> None:
    written(cli, "disk.vdi", converted(tmp_path, "vdi"))
    result = run("convert", "disk.vdi", "disk.qcow2")
    assert result.startswith("disk.qcow2: a disk of 2 MiB in a file of")
    form = parsed(run("convert", "disk.qcow2", "again.raw.zst", "--json"))
    assert (form["kind"], form["virtual_size_bytes"]) == ("converted", len(bootable()))
    run("convert", "again.raw.zst", "back.raw")
    assert (cli.directory / "back.raw").read_bytes() == bootable()
    with pytest.raises(UsageError, match="exists and would be replaced"):
        run("convert", "disk.vdi", "back.raw")
    run("convert", "disk.vdi", "back.raw", "--force")
    with pytest.raises(UsageError, match=r"cannot be written as foo\. Use --to with one of raw, qcow2"):
        run("convert", "disk.vdi", "new.qcow2", "--to", "foo")
    with pytest.raises(UsageError, match="has no suffix of a disk format"):
        run("convert", "disk.vdi", "back")
    with pytest.raises(UsageError, match="no image with this name or digest in the store"):
        run("convert", "nothing.qcow2", "new.qcow2")


def test_fetch_list_and_convert_an_image_of_the_spec(cli: CommandLine, run: Run) -> None:
    cli.spec()
    result = run("fetch")
    assert result.splitlines()[1].split()[0] == "tiny"
    digest = file_sha256(cli.directory / "disk.raw")
    (only,) = parsed(run("list", "--json"))["images"]
    assert (only["name"], only["digest"], only["here"], only["used_by"]) == ("tiny", digest, True, [])
    assert "none" in run("list")
    for name in ("tiny", digest[:12]):
        run("convert", name, f"{name}.vmdk")
        assert (cli.directory / f"{name}.vmdk").exists()
    with pytest.raises(UsageError, match="Did you mean tiny"):
        run("fetch", "tinny")
    with pytest.raises(UsageError, match="built image"):
        run("build", "tiny")
    assert run("build") == "The store is empty. `pragmaspec image fetch` downloads the images of a spec.\n"


def test_import_of_a_disk_and_of_pinned_files(cli: CommandLine, run: Run, store: BlobStore) -> None:
    assert "new.raw: a disk of 2 MiB, stored as new\n" in run("import", written(cli, "new.raw", bootable()))
    assert store.path(file_sha256(cli.directory / "new.raw")).exists()
    cli.spec()
    written(cli, "vmlinuz", b"a kernel, which is no disk")
    kernel, disk = file_sha256(cli.directory / "vmlinuz"), file_sha256(cli.directory / "disk.raw")
    lock = f"""
version = 1
[images.debian]
described = "1"
digest = "{disk}"
origin = "built"
format = "raw"
virtual_size_bytes = 1048576
disk = "sha256:{disk} 1048576"
kernel = "sha256:{kernel} 26"
"""
    written(cli, "pragmaspec.lock", lock.encode())
    form = parsed(run("import", "vmlinuz", "disk.raw", "--json"))
    assert [(each["answers"], each["sha256"]) for each in form["files"]] == [
        ("kernel of debian", kernel), ("disk of debian", disk),
    ]  # fmt: skip
    assert store.path(kernel).read_bytes() == b"a kernel, which is no disk"
    with pytest.raises(ImageError, match="not a disk image"):
        run("import", written(cli, "text", b"neither disk nor asked for\n"))


def test_an_imported_disk_has_a_name_and_a_spec_entry(cli: CommandLine, run: Run, store: BlobStore, tmp_path: Path) -> None:
    file = cli.directory / written(cli, "appliance.vmdk", converted(tmp_path, "vmdk"))
    result = run("import", "appliance.vmdk", "--name", "rocky-9")
    file.unlink()
    (only,) = parsed(run("list", "--json"))["images"]
    assert (only["name"], only["format"], only["origin"], only["here"]) == ("rocky-9", "qcow2", "imported appliance.vmdk", True)
    place = store.path(only["digest"])
    told, _, lines = result.partition("\n\n")
    assert told == "appliance.vmdk: a disk of 2 MiB, stored as rocky-9"
    assert lines == f"images:\n  rocky-9:\n    source: {place}\n    sha256: {only['digest']}\n    format: qcow2\n"
    run("convert", "rocky-9", "back.raw")
    assert (cli.directory / "back.raw").read_bytes() == bootable()

    (cli.directory / "cluster.yaml").write_text(lines + "clusters: {}\n")
    place.chmod(0o600)
    place.write_bytes(bytes(place.stat().st_size))
    assert only["digest"][:16] in run("fetch"), "the bytes are not read a second time"


def test_an_imported_disk_is_kept_until_it_is_forgotten(cli: CommandLine, run: Run, store: BlobStore) -> None:
    run("import", written(cli, "My Disk_2.raw", bootable()))
    path = store.path(file_sha256(cli.directory / "My Disk_2.raw"))
    assert "Nothing to remove" in run("prune", "--older-than", "0", "--dry-run")
    with pytest.raises(UsageError, match=r"your-disk is neither a spec or state .* Known: my-disk-2\."):
        run("prune", "--forget", "your-disk")
    result = run("prune", "--older-than", "0", "-y", "--forget", "my-disk-2")
    assert "my-disk-2 no longer exists" in result
    assert not path.exists()
    assert parsed(run("list", "--json"))["images"] == []


def test_import_refuses_invalid_names(cli: CommandLine, run: Run) -> None:
    written(cli, "one.raw", bootable())
    written(cli, "two.raw", bootable(4 * 2**20))
    with pytest.raises(UsageError, match="bad-name is valid"):
        run("import", "one.raw", "--name", "Bad_Name")
    with pytest.raises(UsageError, match="one by one"):
        run("import", "one.raw", "two.raw", "--name", "both")
    run("import", "one.raw", "--name", "disk")
    with pytest.raises(ImageError, match=r"another disk called disk, imported on .* \(imported one\.raw\)"):
        run("import", "two.raw", "--name", "disk")


def test_import_continues_after_an_invalid_file(cli: CommandLine, run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ImageError, match="nosuch") as refused:
        run("import", "nosuch", written(cli, "one.raw", bootable()), written(cli, "text", b"no disk\n"))
    assert len(refused.value.problems) == 2
    assert "stored as one" in capsys.readouterr().out


def test_the_same_disk_in_two_files_is_one_spec_entry(cli: CommandLine, run: Run, tmp_path: Path) -> None:
    written(cli, "disk.vmdk", converted(tmp_path, "vmdk"))
    written(cli, "disk.vdi", converted(tmp_path, "vdi"))
    assert run("import", "disk.vmdk", "disk.vdi").count("  disk:\n") == 1


def test_a_disk_without_boot_loader_needs_a_kernel(cli: CommandLine, run: Run) -> None:
    result = run("import", written(cli, "root.raw", bytes(2**20)), "--format", "raw", "--no-partitions")
    assert "# kernel: PATH" in result


def test_import_reports_missing_files(cli: CommandLine, run: Run) -> None:
    with pytest.raises(ImageError, match=r"There is no file .*/nosuch\.$"):
        run("import", "nosuch")
    (cli.directory / "folder").mkdir()
    with pytest.raises(ImageError, match=r"folder is a folder\. Write the path of a disk image"):
        run("import", "folder")


def test_verify_sets_damaged_files_aside(cli: CommandLine, run: Run, store: BlobStore) -> None:
    run("import", written(cli, "one.raw", bootable()))
    assert "1 file (2 MiB) are whole." in run("verify") or "1 file" in run("verify")
    path = store.path(file_sha256(cli.directory / "one.raw"))
    path.chmod(0o644)
    path.write_bytes(b"damaged")
    (damaged,) = parsed(run("verify", "--json", status=1))["files"]
    assert not damaged["whole"]
    assert Path(damaged["aside"]).read_bytes() == b"damaged"


def test_prune_lists_asks_and_removes_unused_files(
    cli: CommandLine, run: Run, store: BlobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    cli.spec()
    stored(store, (cli.directory / "disk.raw").read_bytes())
    cli("plan")
    stored(store, (cli.directory / written(cli, "unused.raw", bootable())).read_bytes())
    unused, used = file_sha256(cli.directory / "unused.raw"), file_sha256(cli.directory / "disk.raw")
    assert "Nothing to remove. 2 files" in run("prune", "--dry-run"), "both are young"
    assert unused in run("prune", "--dry-run", "--older-than", "0")
    with pytest.raises(PlanRefusedError, match="Confirmation required"):
        run("prune", "--older-than", "0")
    assert store.path(unused).exists()
    form = parsed(run("prune", "--older-than", "0", "--auto-approve", "--json"))
    assert (form["removed"], [Path(each["path"]).name for each in form["files"]]) == (True, [unused])
    assert not store.path(unused).exists()
    assert store.path(used).exists()
    (cli.directory / "cluster.yaml").unlink()
    result = run("prune", "--older-than", "0", "-y")
    assert "cluster.yaml no longer exists" in result
    assert not store.path(used).exists()
    assert "Nothing to remove." in run("prune", "--dry-run")


def test_an_unreadable_stack_does_not_hide_the_others(cli: CommandLine, run: Run) -> None:
    cli.running()
    run("import", written(cli, "mine.raw", bootable()))
    state = cli.directory / "state" / "cluster" / "state.json"
    good = state.read_text()
    state.write_text("{")
    assert [line.split()[-1] for line in run("list").splitlines()[1:]] == ["stack", "unknown"]
    form = parsed(run("list", "--json"))
    assert form["unread"] == [str(cli.directory / "cluster.yaml")]
    warning = cli("image", "list").err
    assert warning == f"warning: {cli.directory / 'cluster.yaml'} may use more images than shown. The state file is cut off.\n"
    state.write_text(good)
    assert [line.split()[-1] for line in run("list").splitlines()[1:]] == ["stack", "none"]


def test_a_stack_is_forgotten_by_its_relative_path(cli: CommandLine, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    cli.running()
    (cli.directory / "state" / "cluster" / "state.json").write_text("{")
    with pytest.raises(ImageError, match=r"--forget /.*cluster\.yaml"):
        run("prune", "--dry-run")
    assert "cluster.yaml no longer exists" in run("prune", "--dry-run", "--forget", "cluster.yaml")
    assert "cluster.yaml no longer exists" in run("prune", "--dry-run", "--forget", "state/cluster")


def test_a_second_build_is_identical(cli: CommandLine, run: Run) -> None:
    """`--again` shows the comparison; without `build:` it is an error."""
    cli.spec()
    assert parsed(run("build", "--again", "--json")) == {"kind": "rebuilt", "format": 1, "images": []}


def test_clonezilla_directories_both_ways(cli: CommandLine, run: Run) -> None:
    disk = bytearray(bootable(16 * 2**20))
    written(cli, "disk.img", bytes(disk))
    run("convert", "disk.img", "saved", "--to", "clonezilla")
    assert (cli.directory / "saved" / "parts").exists()
    run("convert", "saved", "back.raw")
    back = (cli.directory / "back.raw").read_bytes()
    assert (back[:446], back[512 : len(disk)]) == (disk[:446], disk[512:]), "all but how sfdisk writes the partition table"


def test_every_command_has_an_example(cli: CommandLine, run: Run) -> None:
    for command in ("list", "fetch", "build", "verify", "prune", "inspect", "convert", "import"):
        text = run(command, "--help")
        assert f"    pragmaspec image {command}" in text
        assert "--json" in text


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://127.0.0.1:99999/x", "its port is not between 1 and 65535"),
        ("htps://h/x", "write `https:`"),
        ("http:/h/x", "// is missing"),
        ("http://me:canary@h/x", "put them into ~/.netrc instead"),
        ("s3://bucket/x?regio=y", "unknown option `regio`"),
        ("HTTPS://h/x", "write `https:`"),
        ("s3://bucket", "names a bucket, but no object"),
    ],
)
def test_an_invalid_url_is_refused_before_any_request(cli: CommandLine, run: Run, url: str, words: str) -> None:
    with pytest.raises((UsageError, ImageError), match=words) as refused:
        run("convert", url, "new.raw")
    assert "canary" not in str(refused.value)
