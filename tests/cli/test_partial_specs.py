"""Commands need only the parts of a spec that they use: shutting down or cleaning needs no images, keys or user-data."""

import socket
from pathlib import Path

import pytest

from tests.cli.workshop import Workshop
from tests.web_server import web_server

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAICLwyo1SxfaRiyiZrB2RfYg93Ft70+FTv7npvfQNWWAb grace@example.org\n"
IMAGES = "images: {tiny: {source: ./disk.raw, format: raw}}"


def _two(shop: Workshop, images: str = "") -> Path:
    """Write a spec of two clusters with a key, user-data and an image."""
    (shop.directory / "key.pub").write_text(KEY)
    (shop.directory / "data.yaml").write_text("#cloud-config\nruncmd: [ls]\n")
    spec = shop.spec(1, ssh_keys="[./key.pub]", user_data="./data.yaml")
    text = spec.read_text() + spec.read_text().partition("clusters:\n")[2].replace("hello", "other")
    spec.write_text(text.replace(IMAGES, images or IMAGES))
    return spec


def _lose(shop: Workshop, *names: str) -> None:
    for name in names:
        (shop.directory / name).unlink()


@pytest.mark.parametrize("lost", ["disk.raw", "key.pub", "data.yaml"])
def test_existing_clusters_are_shut_down_and_cleaned_without_their_sources(shop: Workshop, lost: str) -> None:
    _two(shop)
    shop("apply", "-y")
    _lose(shop, lost)
    assert shop("plan", status=1).err
    for line in ("status", "list cluster", "list site", "orphans", "inventory", "state list", "show hello-frontend"):
        shop(*line.split())
    assert "unread" not in shop("shutdown", "hello").out
    assert shop("boot", "hello").out.count("off → running") == 2
    shop("clean", "hello", "--shutdown", "--allow", "data-loss", "-y")
    shop("clean", "other", "--shutdown", "--prune-images", "-y")
    assert shop("state", "list", "--json").json["records"] == []
    shop("forget")


def test_power_commands_do_not_contact_mirrors(shop: Workshop) -> None:
    _two(shop)
    shop("apply", "-y")
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{nobody.getsockname()[1]}/disk.raw"
        _two(shop, f'images: {{tiny: {{source: "{url}", format: raw, sha256: "{"0" * 64}"}}}}')
        shop("shutdown", "hello")
        shop("clean", "hello")


def test_a_locked_image_needs_no_source(shop: Workshop) -> None:
    _two(shop)
    with web_server("127.0.0.1") as web:
        web.content = (shop.directory / "disk.raw").read_bytes()
        images = f'images: {{tiny: {{source: "{web.url}", format: raw}}}}'
        _two(shop, images)
        shop("lock")
        shop("apply", "-y")
    _two(shop, images)
    assert "pending" in shop("shutdown", "hello", "--dry-run", "--json").json
    assert "Left for" not in shop("shutdown", "hello").out
    shop("clean", "hello")


def test_unknown_fields_do_not_count_as_changed(shop: Workshop) -> None:
    spec = _two(shop)
    shop("apply", "-y")
    _lose(shop, "disk.raw", "key.pub", "data.yaml")
    assert "Left for" not in shop("shutdown", "hello").out
    spec.write_text(spec.read_text().replace("tiny", "small").replace("count: 1, cpus: 1", "count: 1, cpus: 2"))
    left = {each["address"]: each["reason"] for each in shop("boot", "hello", "--json").json["plan"]["pending"]}
    assert left == {
        "lab/hello/node/hello-frontend": "image and cluster members changed",
        "lab/hello/node/hello-compute-0": "cpus, image and cluster members changed",
    }


def test_boot_needs_the_whole_spec_only_to_create_nodes(shop: Workshop) -> None:
    spec = _two(shop)
    shop("apply", "-y")
    _lose(shop, "key.pub")
    shop("boot", "hello")
    spec.write_text(spec.read_text().replace("count: 1", "count: 2", 1))
    assert "There is no file key.pub" in shop("boot", "hello", status=1).err
    (shop.directory / "key.pub").write_text(KEY)
    assert "new" in shop("boot", "hello", "--json").json["plan"]["actions"][0]["reason"]


def test_boot_reads_the_whole_spec_for_a_missing_node(shop: Workshop) -> None:
    _two(shop)
    shop("apply", "-y")
    site = shop.directory / "site.json"
    lines = site.read_text().splitlines(keepends=True)
    site.write_text("".join(line for line in lines if '"lab/hello/node/hello-compute-0"' not in line))
    assert shop("boot", "hello", "--json").json["done"] == ["boot lab/hello/node/hello-compute-0"]


def test_errors_of_a_spec_name_the_alternative_without_it(shop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = _two(shop)
    shop("apply", "-y")
    spec.write_text(spec.read_text() + "  wrong: 1\n")
    said = shop("clean", "hello", status=1).err
    assert "cluster.yaml:" in said
    assert f"--state {shop.directory}/state/cluster" in " ".join(said.split())
    empty = shop.directory / "empty"
    empty.mkdir()
    monkeypatch.chdir(empty)
    shop("shutdown", "hello", "--state", "../state/cluster")
    shop("clean", "hello", "--state", "../state/cluster")
    assert "has no cluster hello" in shop("clean", "hello", "--state", "../state/cluster", status=64).err
    shop("plan", "--state", "../state/cluster", status=64)


def test_a_failing_site_without_a_spec_has_no_location(shop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    shop.running(0)
    (shop.directory / "site.json").write_text("damaged\n")
    (shop.directory / "empty").mkdir()
    monkeypatch.chdir(shop.directory / "empty")
    assert "cluster.yaml" not in shop("clean", "hello", "--state", "../state/cluster", status=1).err
