"""``boot``, ``shutdown`` and ``clean``: with plan, journal and progress like ``apply``."""

import json

import pytest

from tests.cli.harness import CommandLine


def _observed(cli: CommandLine) -> set[str]:
    return {node["observed"] for node in cli("status", "--json").json["nodes"]}


def test_shutdown_then_boot(cli: CommandLine) -> None:
    cli.running()
    down = cli("shutdown", "hello")
    assert "running → off" in down.out
    assert "next apply boots hello again" in down.err
    assert _observed(cli) == {"off"}
    assert cli("shutdown", "hello").out.startswith("No changes")
    assert "off → running" in cli("boot", "hello").out
    assert _observed(cli) == {"running"}


def test_computes_are_shut_down_before_the_frontend(cli: CommandLine) -> None:
    cli.running()
    done = cli("shutdown", "hello", "--json").json["done"]
    assert done[-1] == "shutdown lab/hello/node/hello-frontend"


def test_no_reminder_if_the_spec_has_state_off(cli: CommandLine) -> None:
    cli.running()
    cli.spec(state='"off"')
    assert "next apply" not in cli("shutdown", "hello").err


def test_boot_creates_missing_nodes(cli: CommandLine) -> None:
    cli.spec()
    cli("boot", "hello", "--auto-approve")
    assert cli("plan").out.startswith("No changes")


@pytest.mark.parametrize("change", ["disk: 4 MiB", "image: other", "user_data: {runcmd: [ls]}", "memory: 2 GiB"])
def test_power_commands_leave_other_changes_pending(cli: CommandLine, change: str) -> None:
    def spec(before: str = "") -> None:
        text = cli.spec().read_text().replace("frontend: {cpus: 1, memory: 1 GiB", f"frontend: {{cpus: 1, {before}")
        (cli.directory / "cluster.yaml").write_text(text.replace("images: {", "images: {other: {source: ./other.raw}, "))

    (cli.directory / "other.raw").write_bytes((cli.directory / "disk.raw").read_bytes() + bytes(2**20))
    spec("memory: 1 GiB, disk: 8 MiB")
    cli("apply", "-y")
    recorded = cli("show", "hello-frontend", "--json").json["record"]
    spec(change if "memory" in change else f"memory: 1 GiB, {change}" + ("" if "disk" in change else ", disk: 8 MiB"))
    for verb, running in (("shutdown", False), ("boot", True), ("shutdown", False)):
        done = cli(verb, "hello", "--json").json
        assert {key.partition(" ")[0] for key in done["done"]} == {verb}
        (left,) = (each for each in done["plan"]["pending"] if each["address"].endswith("frontend"))
        assert (left["until"], left["reason"].endswith(" changed")) == ("apply", True)
        assert cli("show", "hello-frontend", "--json").json["record"] == {**recorded, "running": running}
    assert "Deferred to the next apply" in cli("boot", "hello").out
    assert cli("plan", "--json").json["changes"]


def test_state_off_changes_only_the_power_state(cli: CommandLine) -> None:
    cli.running()
    cli.spec(packages="[vim]", state='"off"')
    assert "Deferred until hello runs again" in cli("apply", "-y").out
    assert _observed(cli) == {"off"}
    again = cli("plan", "--detailed-exitcode").out
    assert again.startswith("No changes now at lab")
    assert "packages or user-data changed" in again
    cli.spec(packages="[vim]")
    assert "--allow rebuild" in cli("apply", "-y", status=4).err


def test_a_cluster_that_left_the_spec_can_be_shut_down_and_booted(cli: CommandLine) -> None:
    cli.running()
    cli.spec(cluster="other")
    assert "no longer wanted" in cli("shutdown", "hello").out
    assert _observed(cli) == {"off"}
    cli("boot", "hello")
    assert _observed(cli) == {"running"}


def test_clean_refuses_a_running_cluster(cli: CommandLine) -> None:
    cli.running()
    refused = cli("clean", "hello", status=4)
    assert "hello-frontend" in refused.err
    assert "--shutdown" in refused.err
    cli("shutdown", "hello")
    cleaned = cli("clean", "hello")
    assert "DATA LOSS" in cleaned.out
    assert "No clusters" in cli("list", "cluster").out


def test_clean_with_shutdown_removes_everything(cli: CommandLine) -> None:
    cli.running()
    cli("clean", "hello", "--shutdown", "-y")
    state = json.loads((cli.directory / "state" / "cluster" / "state.json").read_text())
    assert state["records"] == []
    holdings = cli("list", "site", "--json").json["sites"][0]["inventory"]
    assert (holdings["holdings"], holdings["images"]) == ([], [])
    assert cli("clean", "hello").out.startswith("No changes")


def test_a_protected_cluster_requires_allow_protected(cli: CommandLine) -> None:
    cli.running(protect="true")
    assert "--allow protected" in cli("clean", "hello", "--shutdown", status=4).err
    cli("clean", "hello", "--shutdown", "--allow", "protected")


def test_only_the_named_cluster_is_changed(cli: CommandLine) -> None:
    spec = cli.spec()
    text = spec.read_text()
    spec.write_text(text + text.partition("clusters:\n")[2].replace("hello", "other"))
    cli("apply", "-y")
    cli("clean", "other", "--shutdown")
    assert [each["name"] for each in cli("list", "cluster", "--json").json["clusters"]] == ["hello"]
    assert {action["resource"]["cluster"] for action in cli("plan", "--json").json["actions"]} == {"other"}


def test_a_cluster_that_left_the_spec_can_be_cleaned(cli: CommandLine) -> None:
    cli.running()
    cli.spec(cluster="other")
    cli("clean", "hello", "--shutdown")
    assert "No clusters" in cli("list", "cluster").out


@pytest.mark.parametrize("verb", ["boot", "shutdown", "clean"])
def test_an_unknown_cluster_is_a_usage_error(cli: CommandLine, verb: str) -> None:
    cli.spec()
    assert "Did you mean hello?" in cli(verb, "helo", status=64).err
    assert "Clusters: hello." in cli(verb, "zzz", status=64).err
    cli(verb, "hello", "--target", "x", status=64)


def test_forget(cli: CommandLine) -> None:
    cli("forget", status=64)
    cli.running()
    cli("ssh-config")
    assert "Clean its clusters first" in cli("forget", status=4).err
    cli("clean", "hello", "--shutdown")
    assert cli("forget").out == "Deleted the state at state/cluster, with the keys of the stack.\n"
    assert not (cli.directory / "state").exists()
    home = cli.directory.parent / "home"
    left = [path for path in home.rglob("*") if path.is_file() and ".ssh" not in path.parts]
    assert [path for path in left if "images" not in path.parts] == [], "but for images, which other stacks may use"
    assert cli("forget").out == "Nothing is recorded at state/cluster.\n"


def test_forget_an_encrypted_stack(cli: CommandLine) -> None:
    spec = cli.spec()
    spec.write_text("state: {url: ./secret, encrypt: true}\n" + spec.read_text())
    cli("apply", "-y")
    assert "hello" not in (cli.directory / "secret" / "state.json").read_text()
    cli("clean", "hello", "--shutdown")
    cli("forget")
    assert not (cli.directory / "secret").exists()


def _left_behind(cli: CommandLine, digit: str, *users: str) -> str:
    """Add an unrecorded image to the site."""
    image = {"kind": "image", "digest": digit * 64, "name": "old", "size_bytes": 3 * 2**20, "users": users}
    with (cli.directory / "site.json").open("a", encoding="utf-8") as site:
        site.write(json.dumps(image, separators=(",", ":")) + "\n")
    return digit * 64


def _images(cli: CommandLine) -> set[str]:
    return set(cli("list", "site", "--json").json["sites"][0]["inventory"]["images"])


def test_apply_prunes_unused_images_on_request(cli: CommandLine) -> None:
    cli.running()
    (own,) = _images(cli)
    _left_behind(cli, "a")
    other = _left_behind(cli, "b", "77777777-0000-4000-8000-000000000000")
    assert cli("plan").out.startswith("No changes")
    assert "clean  aaaaaaaaaaaaaaaa  3 MiB from lab  not used by any stack" in cli("plan", "--prune-images").out
    cli("apply", "--prune-images", "-y")
    assert _images(cli) == {own, other}
    assert cli("plan", "--prune-images").out.startswith("No changes")


def test_a_saved_plan_contains_its_pruning(cli: CommandLine) -> None:
    cli.running()
    _left_behind(cli, "a")
    cli("plan", "--prune-images", "--out", "prune.plan")
    assert "--prune-images" in cli("apply", "prune.plan", "--prune-images", status=64).err
    cli("apply", "prune.plan", "-y")
    assert len(_images(cli)) == 1


def test_clean_prunes_unused_images_on_request(cli: CommandLine) -> None:
    cli.running()
    _left_behind(cli, "a")
    cli("clean", "hello", "--shutdown")
    assert _images(cli) == {"a" * 64}
    cli("clean", "hello", "--prune-images")
    assert _images(cli) == set()
