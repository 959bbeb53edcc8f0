"""``import repository`` and ``list repository REPOSITORY``."""

import json
from pathlib import Path

import pytest
import typer

from pragmaspec.cli.commands import import_repository as command
from pragmaspec.cli.commands.import_repository import register, show_repository
from pragmaspec.errors import ImageError, SpecError, UsageError
from pragmaspec.spec.loader import load_spec
from tests.cli.harness import CommandLine
from tests.images.folder_server import FolderServer
from tests.images.pragma import repositories

SPEC = "# ours\nsites:\n  lab: {provider: simulated}\nclusters: {}  # none yet\n"


@pytest.fixture
def vms(cli: CommandLine) -> Path:
    (cli.directory / "cluster.yaml").write_text(SPEC)
    return repositories.repository(cli.directory / "vms")


def run(*arguments: str) -> None:
    app = typer.Typer()
    register(app)
    typer.main.get_command(app).main(args=["import", "repository", *arguments], standalone_mode=False)


def test_a_repository_is_listed(cli: CommandLine, vms: Path, capsys: pytest.CaptureFixture[str]) -> None:
    show_repository("./vms", json=False)
    assert capsys.readouterr().out.splitlines()[1].split() == ["plain", "frontend", "2", "2", "GiB", "raw", "virtio"]
    with FolderServer(vms) as server:
        show_repository(server.url("vcdb.txt?key=canary"), json=True)
    form = json.loads(capsys.readouterr().out)
    assert [cluster["name"] for cluster in form["clusters"]] == ["plain", "packed", "split", "both"]
    assert "canary" not in json.dumps(form)
    with pytest.raises(ImageError, match="neither"):
        show_repository(".", json=False)


def test_images_are_added_to_the_spec(cli: CommandLine, vms: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (vms / "split" / "split.xml").write_text("<vc/>")
    run("vms")
    captured = capsys.readouterr()
    assert "image both-compute" in captured.out
    assert "skipped split" in captured.err
    text = (cli.directory / "cluster.yaml").read_text()
    assert text.startswith(SPEC)
    images = load_spec(cli.directory / "cluster.yaml").model.images
    assert set(images) == {f"{name}-{role}" for name in ("plain", "packed", "both") for role in ("frontend", "compute")}
    with pytest.raises(SpecError, match="already"):
        run("vms")
    assert (cli.directory / "cluster.yaml").read_text() == text


def test_an_imported_cluster_can_be_applied(cli: CommandLine, vms: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run("vms", "both", "--site", "lab", "--json")
    form = json.loads(capsys.readouterr().out)
    assert (form["images"], form["clusters"]) == (["both-frontend", "both-compute"], ["both"])
    spec = load_spec(cli.directory / "cluster.yaml").model
    assert spec.clusters["both"].frontend.memory_mib == 2048
    assert "# none yet" in (cli.directory / "cluster.yaml").read_text()


def test_unusable_clusters_do_not_stop_the_others(cli: CommandLine, vms: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (vms / "split" / "split.xml").write_text("<vc><frontend/></vc>")
    with (vms / "vcdb.txt").open("a") as index:
        index.write("out,../out.xml\n")
    show_repository("vms", json=False)
    assert "It has no disk for its frontend." in capsys.readouterr().out
    run("vms", "--site", "lab", "--json")
    captured = capsys.readouterr()
    assert "skipped split: It has no disk for its frontend." in captured.err
    assert "skipped out: vcdb.txt:7: 'out,../out.xml' is outside of the repository." in captured.err
    assert json.loads(captured.out)["clusters"] == ["plain", "packed", "both"]


def test_a_missing_or_binary_spec_is_an_error(cli: CommandLine, vms: Path) -> None:
    with pytest.raises(UsageError, match=r"There is no nosuch\.yaml"):
        run("vms", "--spec", "nosuch.yaml")
    (cli.directory / "cluster.yaml").write_bytes(b"images: \xff\n")
    with pytest.raises(SpecError, match=r"Byte 9 of cluster\.yaml is not valid UTF-8"):
        run("vms")


def test_an_unknown_site_is_refused(cli: CommandLine, vms: Path) -> None:
    with pytest.raises(UsageError, match=r"There is no site nosuch\. Known sites: lab\."):
        run("vms", "plain", "--site", "nosuch")
    assert (cli.directory / "cluster.yaml").read_text() == SPEC


def test_a_cluster_can_be_renamed_on_import(cli: CommandLine, vms: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run("vms", "plain", "--site", "lab")
    with pytest.raises(SpecError, match="under another name, with --as NAME"):
        run("vms", "plain")
    run("vms", "plain", "--site", "lab", "--as", "second")
    assert list(load_spec(cli.directory / "cluster.yaml").model.clusters) == ["plain", "second"]


def test_print_shows_the_resulting_spec(cli: CommandLine, vms: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run("vms", "plain", "--print")
    assert "cluster: plain" in capsys.readouterr().out
    assert (cli.directory / "cluster.yaml").read_text() == SPEC
    with pytest.raises(UsageError, match="no other"):
        run("vms", "other")


def test_links_and_modes_of_the_spec_are_preserved(cli: CommandLine, vms: Path) -> None:
    spec = cli.directory / "cluster.yaml"
    real = spec.rename(cli.directory / "real.yaml")
    spec.symlink_to(real)
    real.chmod(0o640)
    run("vms", "plain")
    assert spec.is_symlink()
    assert real.stat().st_mode & 0o777 == 0o640


def test_help_has_examples() -> None:
    assert command.app.registered_commands[0].epilog is not None
