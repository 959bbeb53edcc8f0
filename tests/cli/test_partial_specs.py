"""Commands need only the parts of a spec that they use: shutting down or cleaning needs no images, keys or user-data."""

import socket
from pathlib import Path

import pytest

from tests.cli.harness import CommandLine
from tests.web_server import web_server

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAICLwyo1SxfaRiyiZrB2RfYg93Ft70+FTv7npvfQNWWAb grace@example.org\n"
IMAGES = "images: {tiny: {source: ./disk.raw, format: raw}}"


def _two(cli: CommandLine, images: str = "") -> Path:
    """Write a spec of two clusters with a key, user-data and an image."""
    (cli.directory / "key.pub").write_text(KEY)
    (cli.directory / "data.yaml").write_text("#cloud-config\nruncmd: [ls]\n")
    spec = cli.spec(1, ssh_keys="[./key.pub]", user_data="./data.yaml")
    text = spec.read_text() + spec.read_text().partition("clusters:\n")[2].replace("hello", "other")
    spec.write_text(text.replace(IMAGES, images or IMAGES))
    return spec


def _lose(cli: CommandLine, *names: str) -> None:
    for name in names:
        (cli.directory / name).unlink()


@pytest.mark.parametrize("lost", ["disk.raw", "key.pub", "data.yaml"])
def test_existing_clusters_are_shut_down_and_cleaned_without_their_sources(cli: CommandLine, lost: str) -> None:
    _two(cli)
    cli("apply", "-y")
    _lose(cli, lost)
    assert cli("plan", status=1).err
    for line in ("status", "list cluster", "list site", "orphans", "inventory", "state list", "show hello-frontend"):
        cli(*line.split())
    assert "unread" not in cli("shutdown", "hello").out
    assert cli("boot", "hello").out.count("off → running") == 2
    cli("clean", "hello", "--shutdown", "--allow", "data-loss", "-y")
    cli("clean", "other", "--shutdown", "--prune-images", "-y")
    assert cli("state", "list", "--json").json["records"] == []
    cli("forget")


def test_power_commands_do_not_contact_mirrors(cli: CommandLine) -> None:
    _two(cli)
    cli("apply", "-y")
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{nobody.getsockname()[1]}/disk.raw"
        _two(cli, f'images: {{tiny: {{source: "{url}", format: raw, sha256: "{"0" * 64}"}}}}')
        cli("shutdown", "hello")
        cli("clean", "hello")


def test_a_locked_image_needs_no_source(cli: CommandLine) -> None:
    _two(cli)
    with web_server("127.0.0.1") as web:
        web.content = (cli.directory / "disk.raw").read_bytes()
        images = f'images: {{tiny: {{source: "{web.url}", format: raw}}}}'
        _two(cli, images)
        cli("lock")
        cli("apply", "-y")
    _two(cli, images)
    assert "pending" in cli("shutdown", "hello", "--dry-run", "--json").json
    assert "Deferred" not in cli("shutdown", "hello").out
    cli("clean", "hello")


def test_unknown_fields_do_not_count_as_changed(cli: CommandLine) -> None:
    spec = _two(cli)
    cli("apply", "-y")
    _lose(cli, "disk.raw", "key.pub", "data.yaml")
    assert "Deferred" not in cli("shutdown", "hello").out
    spec.write_text(spec.read_text().replace("tiny", "small").replace("count: 1, cpus: 1", "count: 1, cpus: 2"))
    left = {each["address"]: each["reason"] for each in cli("boot", "hello", "--json").json["plan"]["pending"]}
    assert left == {
        "lab/hello/node/hello-frontend": "image and cluster members changed",
        "lab/hello/node/hello-compute-0": "cpus, image and cluster members changed",
    }


def test_boot_needs_the_whole_spec_only_to_create_nodes(cli: CommandLine) -> None:
    spec = _two(cli)
    cli("apply", "-y")
    _lose(cli, "key.pub")
    cli("boot", "hello")
    spec.write_text(spec.read_text().replace("count: 1", "count: 2", 1))
    assert "There is no file key.pub" in cli("boot", "hello", status=1).err
    (cli.directory / "key.pub").write_text(KEY)
    assert "new" in cli("boot", "hello", "--json").json["plan"]["actions"][0]["reason"]


def test_boot_reads_the_whole_spec_for_a_missing_node(cli: CommandLine) -> None:
    _two(cli)
    cli("apply", "-y")
    site = cli.directory / "site.json"
    lines = site.read_text().splitlines(keepends=True)
    site.write_text("".join(line for line in lines if '"lab/hello/node/hello-compute-0"' not in line))
    assert cli("boot", "hello", "--json").json["done"] == ["boot lab/hello/node/hello-compute-0"]


def test_errors_of_a_spec_name_the_alternative_without_it(cli: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = _two(cli)
    cli("apply", "-y")
    spec.write_text(spec.read_text() + "  wrong: 1\n")
    result = cli("clean", "hello", status=1).err
    assert "cluster.yaml:" in result
    assert f"--state {cli.directory}/state/cluster" in " ".join(result.split())
    empty = cli.directory / "empty"
    empty.mkdir()
    monkeypatch.chdir(empty)
    cli("shutdown", "hello", "--state", "../state/cluster")
    cli("clean", "hello", "--state", "../state/cluster")
    assert "has no cluster hello" in cli("clean", "hello", "--state", "../state/cluster", status=64).err
    cli("plan", "--state", "../state/cluster", status=64)


def test_a_failing_site_without_a_spec_has_no_location(cli: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    cli.running(0)
    (cli.directory / "site.json").write_text("damaged\n")
    (cli.directory / "empty").mkdir()
    monkeypatch.chdir(cli.directory / "empty")
    assert "cluster.yaml" not in cli("clean", "hello", "--state", "../state/cluster", status=1).err


def test_sites_are_listed_without_a_spec_whose_provider_is_not_installed(cli: CommandLine) -> None:
    spec = cli.spec(0)
    cli("apply", "-y")
    spec.write_text(spec.read_text().replace("sites:\n", "sites:\n  shelf: {provider: directories, root: ./machines}\n"))
    failed = " ".join(cli("list", "site", status=1).err.split())
    assert "Unknown provider" in failed
    assert "`boot`, `shutdown`, `clean` and `list site` use the recorded state alone, with `--state " in failed
    state = failed.partition("alone, with `")[2].partition("`")[0].split()
    spec.unlink()
    assert "lab" in cli("list", "site", *state).out
