"""``boot``, ``shutdown`` and ``clean``: with plan, journal and progress like ``apply``."""

import json

import pytest

from tests.cli.workshop import Workshop


def _observed(shop: Workshop) -> set[str]:
    return {node["observed"] for node in shop("status", "--json").json["nodes"]}


def test_shutdown_then_boot(shop: Workshop) -> None:
    shop.running()
    down = shop("shutdown", "hello")
    assert "running → off" in down.out
    assert "next apply boots hello again" in down.err
    assert _observed(shop) == {"off"}
    assert shop("shutdown", "hello").out.startswith("No changes")
    assert "off → running" in shop("boot", "hello").out
    assert _observed(shop) == {"running"}


def test_computes_are_shut_down_before_the_frontend(shop: Workshop) -> None:
    shop.running()
    done = shop("shutdown", "hello", "--json").json["done"]
    assert done[-1] == "shutdown lab/hello/node/hello-frontend"


def test_no_reminder_if_the_spec_has_state_off(shop: Workshop) -> None:
    shop.running()
    shop.spec(state='"off"')
    assert shop("shutdown", "hello").err.count("the next apply") == 0


def test_boot_creates_missing_nodes(shop: Workshop) -> None:
    shop.spec()
    shop("boot", "hello", "--auto-approve")
    assert shop("plan").out.startswith("No changes")


@pytest.mark.parametrize("change", ["disk: 4 MiB", "image: other", "user_data: {runcmd: [ls]}", "memory: 2 GiB"])
def test_power_commands_leave_other_changes_pending(shop: Workshop, change: str) -> None:
    def spec(before: str = "") -> None:
        text = shop.spec().read_text().replace("frontend: {cpus: 1, memory: 1 GiB", f"frontend: {{cpus: 1, {before}")
        (shop.directory / "cluster.yaml").write_text(text.replace("images: {", "images: {other: {source: ./other.raw}, "))

    (shop.directory / "other.raw").write_bytes((shop.directory / "disk.raw").read_bytes() + bytes(2**20))
    spec("memory: 1 GiB, disk: 8 MiB")
    shop("apply", "-y")
    recorded = shop("show", "hello-frontend", "--json").json["record"]
    spec(change if "memory" in change else f"memory: 1 GiB, {change}" + ("" if "disk" in change else ", disk: 8 MiB"))
    for verb, running in (("shutdown", False), ("boot", True), ("shutdown", False)):
        done = shop(verb, "hello", "--json").json
        assert {key.partition(" ")[0] for key in done["done"]} == {verb}
        (left,) = (each for each in done["plan"]["pending"] if each["address"].endswith("frontend"))
        assert (left["until"], left["reason"].endswith(" changed")) == ("apply", True)
        assert shop("show", "hello-frontend", "--json").json["record"] == {**recorded, "running": running}
    assert "Left for the next apply" in shop("boot", "hello").out
    assert shop("plan", "--json").json["changes"]


def test_state_off_changes_only_the_power_state(shop: Workshop) -> None:
    shop.running()
    shop.spec(packages="[vim]", state='"off"')
    assert "Left until hello runs again" in shop("apply", "-y").out
    assert _observed(shop) == {"off"}
    again = shop("plan", "--detailed-exitcode").out
    assert again.startswith("No changes now at lab")
    assert "packages or user-data changed" in again
    shop.spec(packages="[vim]")
    assert "--allow rebuild" in shop("apply", "-y", status=4).err


def test_a_cluster_that_left_the_spec_can_be_shut_down_and_booted(shop: Workshop) -> None:
    shop.running()
    shop.spec(cluster="other")
    assert "no longer wanted" in shop("shutdown", "hello").out
    assert _observed(shop) == {"off"}
    shop("boot", "hello")
    assert _observed(shop) == {"running"}


def test_clean_refuses_a_running_cluster(shop: Workshop) -> None:
    shop.running()
    refused = shop("clean", "hello", status=4)
    assert "hello-frontend" in refused.err
    assert "--shutdown" in refused.err
    shop("shutdown", "hello")
    cleaned = shop("clean", "hello")
    assert "DATA LOSS" in cleaned.out
    assert "No clusters" in shop("list", "cluster").out


def test_clean_with_shutdown_removes_everything(shop: Workshop) -> None:
    shop.running()
    shop("clean", "hello", "--shutdown", "-y")
    state = json.loads((shop.directory / "state" / "cluster" / "state.json").read_text())
    assert state["records"] == []
    holdings = shop("list", "site", "--json").json["sites"][0]["inventory"]
    assert (holdings["holdings"], holdings["images"]) == ([], [])
    assert shop("clean", "hello").out.startswith("No changes")


def test_a_protected_cluster_requires_allow_protected(shop: Workshop) -> None:
    shop.running(protect="true")
    assert "--allow protected" in shop("clean", "hello", "--shutdown", status=4).err
    shop("clean", "hello", "--shutdown", "--allow", "protected")


def test_only_the_named_cluster_is_changed(shop: Workshop) -> None:
    spec = shop.spec()
    text = spec.read_text()
    spec.write_text(text + text.partition("clusters:\n")[2].replace("hello", "other"))
    shop("apply", "-y")
    shop("clean", "other", "--shutdown")
    assert [each["name"] for each in shop("list", "cluster", "--json").json["clusters"]] == ["hello"]
    assert {action["resource"]["cluster"] for action in shop("plan", "--json").json["actions"]} == {"other"}


def test_a_cluster_that_left_the_spec_can_be_cleaned(shop: Workshop) -> None:
    shop.running()
    shop.spec(cluster="other")
    shop("clean", "hello", "--shutdown")
    assert "No clusters" in shop("list", "cluster").out


@pytest.mark.parametrize("verb", ["boot", "shutdown", "clean"])
def test_an_unknown_cluster_is_a_usage_error(shop: Workshop, verb: str) -> None:
    shop.spec()
    assert "Did you mean hello?" in shop(verb, "helo", status=64).err
    assert "There is: hello." in shop(verb, "zzz", status=64).err
    shop(verb, "hello", "--target", "x", status=64)


def test_forget(shop: Workshop) -> None:
    shop("forget", status=64)
    shop.running()
    shop("ssh-config")
    assert "Clean its clusters first" in shop("forget", status=4).err
    shop("clean", "hello", "--shutdown")
    assert shop("forget").out == "Deleted the state at state/cluster, with the keys of the stack.\n"
    assert not (shop.directory / "state").exists()
    home = shop.directory.parent / "home"
    left = [path for path in home.rglob("*") if path.is_file() and ".ssh" not in path.parts]
    assert [path for path in left if "images" not in path.parts] == [], "but for images, which other stacks may use"
    assert shop("forget").out == "Nothing is recorded at state/cluster.\n"


def test_forget_an_encrypted_stack(shop: Workshop) -> None:
    spec = shop.spec()
    spec.write_text("state: {url: ./secret, encrypt: true}\n" + spec.read_text())
    shop("apply", "-y")
    assert "hello" not in (shop.directory / "secret" / "state.json").read_text()
    shop("clean", "hello", "--shutdown")
    shop("forget")
    assert not (shop.directory / "secret").exists()


def _left_behind(shop: Workshop, digit: str, *users: str) -> str:
    """Add an unrecorded image to the site."""
    image = {"kind": "image", "digest": digit * 64, "name": "old", "size_bytes": 3 * 2**20, "users": users}
    with (shop.directory / "site.json").open("a", encoding="utf-8") as site:
        site.write(json.dumps(image, separators=(",", ":")) + "\n")
    return digit * 64


def _images(shop: Workshop) -> set[str]:
    return set(shop("list", "site", "--json").json["sites"][0]["inventory"]["images"])


def test_apply_prunes_unused_images_on_request(shop: Workshop) -> None:
    shop.running()
    (own,) = _images(shop)
    _left_behind(shop, "a")
    other = _left_behind(shop, "b", "77777777-0000-4000-8000-000000000000")
    assert shop("plan").out.startswith("No changes")
    assert "clean  aaaaaaaaaaaaaaaa  3 MiB from lab  not used by any stack" in shop("plan", "--prune-images").out
    shop("apply", "--prune-images", "-y")
    assert _images(shop) == {own, other}
    assert shop("plan", "--prune-images").out.startswith("No changes")


def test_a_saved_plan_contains_its_pruning(shop: Workshop) -> None:
    shop.running()
    _left_behind(shop, "a")
    shop("plan", "--prune-images", "--out", "prune.plan")
    assert "--prune-images" in shop("apply", "prune.plan", "--prune-images", status=64).err
    shop("apply", "prune.plan", "-y")
    assert len(_images(shop)) == 1


def test_clean_prunes_unused_images_on_request(shop: Workshop) -> None:
    shop.running()
    _left_behind(shop, "a")
    shop("clean", "hello", "--shutdown")
    assert _images(shop) == {"a" * 64}
    shop("clean", "hello", "--prune-images")
    assert _images(shop) == set()
