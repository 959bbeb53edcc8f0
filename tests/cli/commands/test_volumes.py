"""``list volume`` and the removal of volumes by ``clean``."""

from tests.cli.harness import CommandLine

HOME = "disks: {home: {size: 20 GiB, mount: /home, keep: true}}"
NAME = "hello-frontend-home"


def _cluster(cli: CommandLine) -> None:
    text = cli.spec().read_text()
    (cli.directory / "cluster.yaml").write_text(text.replace("frontend: {", f"frontend: {{{HOME}, "))
    cli("apply", "-y")


def _volumes(cli: CommandLine) -> list[tuple[str, str | None]]:
    return [(each["name"], each["used_by"]) for each in cli("list", "volume", "--json").json["volumes"]]


def test_a_volume_outlives_its_cluster(cli: CommandLine) -> None:
    _cluster(cli)
    assert _volumes(cli) == [(NAME, "hello-frontend")]
    assert f"keeps volume {NAME}" in cli("clean", "hello", "--shutdown").out
    assert _volumes(cli) == [(NAME, None)]
    assert "unused" in cli("list", "volume").out
    assert "No clusters" in cli("list", "cluster").out
    assert f"allocate  {NAME}" not in cli("apply", "-y").out
    assert _volumes(cli) == [(NAME, "hello-frontend")]


def test_a_volume_is_removed_by_name_and_with_consent(cli: CommandLine) -> None:
    _cluster(cli)
    assert "A volume is in use" in cli("clean", "--volume", NAME, "--allow", "data-loss", status=1).err
    cli("clean", "hello", "--shutdown")
    assert "removed with all data" in cli("clean", "--volume", NAME, status=4).err
    assert "Did you mean" in cli("clean", "--volume", "hello-frontend-hom", status=64).err
    cli("clean", "--volume", NAME, "--allow", "data-loss")
    assert _volumes(cli) == []
    assert "No volumes" in cli("list", "volume").out


def test_a_cluster_is_removed_with_its_volumes(cli: CommandLine) -> None:
    _cluster(cli)
    cli("clean", "hello", "--shutdown", "--volumes", status=4)
    done = cli("clean", "hello", "--shutdown", "--volumes", "--allow", "data-loss", "--json").json["done"]
    assert done.index("clean lab/hello/node/hello-frontend") < done.index(f"clean lab/volume/{NAME}")
    assert cli("state", "list", "--json").json["records"] == []


def test_clean_needs_a_cluster_or_volumes(cli: CommandLine) -> None:
    cli.spec()
    for arguments in ((), ("hello", "--volume", "home"), ("--volume", "home", "--shutdown")):
        assert "Cluster or volumes" in cli("clean", *arguments, status=64).err


def test_a_volume_without_a_record_is_found_again(cli: CommandLine) -> None:
    _cluster(cli)
    cli("clean", "hello", "--shutdown")
    cli("state", "rm", f"lab/volume/{NAME}", "--auto-approve")
    assert NAME in cli("orphans").out
    assert "found at the site" in cli("plan").out
    cli("orphans", "--adopt", f"lab/volume/{NAME}")
    assert _volumes(cli) == [(NAME, None)]
    cli("apply", "-y")
    assert _volumes(cli) == [(NAME, "hello-frontend")]
    assert cli("plan").out.startswith("No changes")
    assert "volume" in cli("show", f"lab/volume/{NAME}", "--json").json["record"]["kind"]


def test_a_node_with_a_volume_is_restarted_and_rebuilt_after_a_rename(cli: CommandLine) -> None:
    _cluster(cli)
    file = cli.directory / "cluster.yaml"
    moved = file.read_text().replace("  hello:", "  world:") + "moved: [{from: hello, to: world}]\n"
    file.write_text(moved.replace("memory: 1 GiB", "memory: 2 GiB"))
    restarted = cli("apply", "-y", "--json").json["done"]
    assert {"shutdown lab/world/node/world-frontend", "boot lab/world/node/world-frontend"} <= set(restarted)
    rebuilt = cli("apply", "-y", "--replace", "world-frontend", "--allow", "rebuild", "--json").json["done"]
    assert {"clean lab/world/node/world-frontend", "boot lab/world/node/world-frontend"} <= set(rebuilt)
    assert cli("plan").out.startswith("No changes")


def _two_sites(cli: CommandLine) -> None:
    """Move a cluster to another site, where it gets a volume of the same name; the old one stays."""
    _cluster(cli)
    cli("clean", "hello", "--shutdown")
    file = cli.directory / "cluster.yaml"
    text = file.read_text().replace("site: lab", "site: far")
    file.write_text(text.replace("sites:\n", "sites:\n  far: {provider: simulated, file: ./far.json}\n"))
    cli("apply", "-y")


def test_volumes_of_one_name_are_removed_by_address(cli: CommandLine) -> None:
    _two_sites(cli)
    here, far = f"lab/volume/{NAME}", f"far/volume/{NAME}"
    ambiguous = " ".join(cli("clean", "--volume", NAME, status=64).err.split())
    assert f"Several volumes have this name {NAME} is {far} and {here}." in ambiguous
    assert "A volume is in use" in cli("clean", "--volume", far, status=1).err
    assert f"Did you mean {here}" in cli("clean", "--volume", f"{here}s", status=64).err
    assert f"volume {NAME} at lab is removed" in cli("clean", "--volume", here, "--dry-run").out
    assert f"volume {NAME} at lab: removed" in " ".join(cli("clean", "--volume", here, status=4).err.split())
    cli("clean", "--volume", here, "--allow", "data-loss")
    assert [each["site"] for each in cli("list", "volume", "--json").json["volumes"]] == ["far"]
    assert cli("plan").out.startswith("No changes")


def test_volumes_of_one_name_are_removed_together(cli: CommandLine) -> None:
    _two_sites(cli)
    cli("clean", "hello", "--shutdown")
    both = [argument for site in ("lab", "far") for argument in ("--volume", f"{site}/volume/{NAME}")]
    assert f"volume {NAME} at far and volume {NAME} at lab are removed" in " ".join(cli("clean", *both, "--dry-run").out.split())
    cli("clean", *both, "--allow", "data-loss")
    assert _volumes(cli) == []


def test_volumes_are_found_by_the_names_before_and_after_a_rename(cli: CommandLine) -> None:
    _cluster(cli)
    cli("clean", "hello", "--shutdown")
    file = cli.directory / "cluster.yaml"
    text = file.read_text()
    site = text.replace("  lab:", "  here:").replace("site: lab", "site: here")
    file.write_text(f"{site}moved: [{{kind: site, from: lab, to: here}}]\n")
    for name in (NAME, f"lab/volume/{NAME}", f"here/volume/{NAME}"):
        assert "1 to clean" in cli("clean", "--volume", name, "--dry-run").out
    file.write_text(f"{text.replace('  hello:', '  world:')}moved: [{{from: hello, to: world}}]\n")
    cli("clean", "world", "--volumes", "--allow", "data-loss")
    assert _volumes(cli) == []


def test_a_volume_is_shown_by_name_and_by_address(cli: CommandLine) -> None:
    _cluster(cli)
    for name in (NAME, f"lab/volume/{NAME}"):
        assert cli("show", name, "--json").json["record"]["address"] == f"lab/volume/{NAME}"
    assert "SITE/volume/NAME" in " ".join(cli("show", "nope", status=64).err.split())
