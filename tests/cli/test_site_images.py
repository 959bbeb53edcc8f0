"""Images that live at a site, from the lock file to the removal of the cluster."""

from pathlib import Path

import pytest

from tests.cli.harness import CommandLine

ONE = "{name: ubuntu, id: img-1, size: 2 GiB, created: 2026-10-01}"
NEWER = "{name: ubuntu, id: img-2, size: 2 GiB, created: 2026-11-01}"


def spec(cli: CommandLine, images: str = ONE, *, name: str = "ubuntu", computes: int = 1, more: str = "") -> Path:
    """Write a spec whose image lives at the site with ``images``, and is called ``name`` there."""
    path = cli.spec(computes, site={"images": f"[{images}]"})
    path.write_text(path.read_text().replace("tiny: {source: ./disk.raw, format: raw}", f"tiny: {{at: {{lab: {name}}}{more}}}"))
    return path


def test_apply_uses_the_image_in_place_and_pins_it(cli: CommandLine) -> None:
    spec(cli)
    applied = cli("apply", "-y")
    assert "tiny" in applied.out
    assert "ubuntu · id img-1" in applied.out
    assert "to transfer" not in applied.out
    assert 'id = "img-1"' in (cli.directory / "pragmaspec.lock").read_text()
    assert cli("plan").out == "No changes: lab matches cluster.yaml.\n"
    shown = cli("state", "show", "tiny").out
    assert "lab, as ubuntu (img-1), used in place" in shown
    (image,) = [each for each in cli("state", "list", "--json").json["records"] if each["kind"] == "image"]
    assert image["site_image"] == {"id": "img-1", "name": "ubuntu", "checksum": None, "in_place": True}
    assert image["transfer_bytes"] == 0


def test_the_pin_holds_until_it_is_upgraded(cli: CommandLine) -> None:
    spec(cli)
    cli("apply", "-y")
    spec(cli, f"{ONE}, {{name: ubuntu-new, id: img-2}}")
    path = spec(cli, f"{ONE.replace('name: ubuntu', 'name: ubuntu-2025')}, {NEWER}", computes=2)
    assert "img-2" not in cli("plan", "--locked").out
    text = cli("lock").out
    assert "img-1" in text
    assert "unchanged" in text
    assert "img-1 → img-2" in cli("lock", "--upgrade", "tiny").out
    assert "REBUILD" in cli("plan").out
    changed = cli("lock", "--json").json["site_images"]
    assert [(each["name"], each["site"], each["change"], each["after"]["id"]) for each in changed] == [
        ("tiny", "lab", "same", "img-2")
    ]
    path.write_text(path.read_text().replace("lab: ubuntu", "lab: img-1"))
    assert cli("lock", "--json").json["site_images"][0]["change"] == "moved"


def test_a_pinned_image_that_is_gone_is_a_plan_error_where_it_is_needed(cli: CommandLine) -> None:
    spec(cli)
    cli("apply", "-y")
    spec(cli, NEWER)
    assert cli("plan").out == "No changes: lab matches cluster.yaml.\n"
    spec(cli, NEWER, computes=2)
    refused = cli("plan", status=1).err
    assert "Pinned image is gone from its site" in refused
    assert "cluster.yaml:1" in refused
    assert "`pragmaspec lock --upgrade tiny`" in refused
    cli("clean", "hello", "--shutdown", "-y")
    assert cli("state", "list", "--json").json["records"] == []


def test_an_ambiguous_or_unknown_name_is_refused_at_its_position(cli: CommandLine) -> None:
    spec(cli, f"{ONE}, {NEWER}")
    ambiguous = cli("plan", status=1).err
    assert "Ambiguous image name" in ambiguous
    assert "img-2 (2026-11-01), img-1 (2026-10-01)" in ambiguous.replace("\n  ", " ")
    assert "cluster.yaml:1:" in ambiguous
    spec(cli, name="ubunut")
    assert "Did you mean ubuntu?" in cli("lock", status=1).err
    assert not (cli.directory / "pragmaspec.lock").exists()


def test_locked_plans_require_the_pin(cli: CommandLine) -> None:
    spec(cli)
    refused = cli("plan", "--locked", status=1).err
    assert "Image tiny is not as in the lock file" in refused
    assert "has no entry for it at site lab" in refused
    cli("lock")
    cli("plan", "--locked")
    spec(cli, name="img-1")
    assert "has ubuntu at site lab, the spec img-1" in cli("plan", "--locked", status=1).err


def test_pins_of_sites_that_the_image_no_longer_names_are_removed(cli: CommandLine) -> None:
    spec(cli, more=", source: ./disk.raw, format: raw")
    cli("lock")
    path = cli.spec()
    assert "tiny at lab" in cli("plan", "--locked", status=1).err
    changes = cli("lock", "--json").json
    assert [each["change"] for each in changes["images"]] == ["same"]
    assert [(each["change"], each["after"]) for each in changes["site_images"]] == [("removed", None)]
    assert "removed" not in cli("lock", str(path)).out


def test_an_image_that_only_lives_at_sites_cannot_be_fetched(cli: CommandLine) -> None:
    spec(cli)
    assert "lives at sites only" in cli("image", "fetch", "tiny", status=64).err
    cli("image", "fetch")
    (row,) = cli("list", "repository", "--json").json["images"]
    assert (row["name"], row["origin"], row["local"]) == ("tiny", "ubuntu at site lab", False)


def test_a_cluster_can_be_switched_and_cleaned_without_its_image(cli: CommandLine) -> None:
    spec(cli)
    cli("apply", "-y")
    cli("shutdown", "hello", "-y")
    spec(cli, NEWER)
    cli("boot", "hello", "-y")
    cli("clean", "hello", "--shutdown", "-y")


@pytest.mark.parametrize("order", ["uploaded-first", "in-place-first"])
def test_the_same_bytes_need_no_rebuild(cli: CommandLine, order: str) -> None:
    cli.spec(1)
    digest = cli("image", "inspect", "disk.raw", "--format", "raw", "--json").json["becomes"]["sha256"]
    there = f"{{name: ubuntu, id: img-1, size: 1 MiB, checksum: 'sha256:{digest}'}}"
    first, second = (cli.spec, spec) if order == "uploaded-first" else (spec, cli.spec)
    for write in (first, second):
        spec(cli, there) if write is spec else cli.spec(1, site={"images": f"[{there}]"})
        text = cli("apply", "-y").out
        assert "1 to stage" in text
        assert "REBUILD" not in text
    assert cli("plan").out == "No changes: lab matches cluster.yaml.\n"
    cli("clean", "hello", "--shutdown", "-y")


def test_a_pinned_image_that_the_spec_names_by_id_is_replaced_by_another_id(cli: CommandLine) -> None:
    spec(cli, name="img-1")
    cli("apply", "-y")
    spec(cli, NEWER, name="img-1", computes=2)
    refused = " ".join(cli("plan", status=1).err.split())
    assert "The spec names it by this id: write another id, or the name of an image there; its nodes are then rebuilt." in refused
    spec(cli, NEWER, name="img-2", computes=2)
    assert "REBUILD" in cli("plan").out


def test_a_changed_image_that_the_spec_names_by_id_is_pinned_anew(cli: CommandLine) -> None:
    sum_of = "{{name: ubuntu, id: img-1, size: 2 GiB, checksum: 'sha256:{}'}}"
    spec(cli, sum_of.format("a" * 64), name="img-1")
    cli("apply", "-y")
    spec(cli, sum_of.format("b" * 64), name="img-1", computes=2)
    refused = " ".join(cli("plan", status=1).err.split())
    assert "`pragmaspec lock --upgrade tiny` pins its present contents; its nodes are then rebuilt." in refused
    cli("lock", "--upgrade", "tiny")
    assert "REBUILD" in cli("plan").out
