"""Renaming a spec does not silently create a second stack."""

import pytest

from pragmaspec.stack.stack import Stack
from tests.cli.workshop import Workshop


def _renamed(shop: Workshop, to: str = "web.yaml") -> None:
    shop.running(0)
    (shop.directory / "cluster.yaml").rename(shop.directory / to)


@pytest.mark.parametrize("line", ["plan", "apply -y", "boot hello", "list cluster", "shutdown hello", "clean hello", "status"])
def test_a_renamed_spec_is_refused_with_every_remedy(shop: Workshop, line: str) -> None:
    _renamed(shop)
    said = " ".join(shop(*line.split(), status=64).err.split())
    assert "state/cluster records cluster hello" in said
    for way in ("`stack: cluster`", "`mv state/cluster state/web`", "`git mv state/cluster state/web`", "`--state state/web`"):
        assert way in said
    assert [path.name for path in (shop.directory / "state").iterdir()] == ["cluster"]


def test_each_remedy_works(shop: Workshop) -> None:
    _renamed(shop)
    web = shop.directory / "web.yaml"
    text = web.read_text()
    web.write_text(f"stack: cluster\n{text}")
    assert shop("plan").out.startswith("No changes")
    web.write_text(text)
    assert "new" in shop("plan", "--state", "state/web").out
    (shop.directory / "state" / "cluster").rename(shop.directory / "state" / "web")
    assert shop("plan").out.startswith("No changes")


def test_an_intended_second_stack_continues(shop: Workshop) -> None:
    _renamed(shop)
    shop("apply", "-y", "--state", "state/web")
    assert shop("plan").out.startswith("No changes")


def test_two_specs_side_by_side_are_two_stacks(shop: Workshop) -> None:
    shop.running(0)
    (shop.directory / "web.yaml").write_text((shop.directory / "cluster.yaml").read_text())
    assert "new" in shop("plan", "web.yaml").out


def test_a_stack_with_other_clusters_does_not_interfere(shop: Workshop) -> None:
    _renamed(shop)
    (shop.directory / "web.yaml").write_text((shop.directory / "web.yaml").read_text().replace("  hello:", "  other:"))
    assert "new" in shop("plan").out


def test_a_state_used_by_another_spec_is_not_suggested(shop: Workshop) -> None:
    _renamed(shop)
    (shop.directory / "web.yaml").rename(shop.directory / "first.yaml")
    (shop.directory / "envs").mkdir()
    text = (shop.directory / "first.yaml").read_text()
    (shop.directory / "envs" / "prod.yaml").write_text("state: ../state/cluster\n" + text.replace("./", "../"))
    shop("plan", "envs/prod.yaml")
    assert "new" in shop("plan", "first.yaml").out


def test_unreadable_states_of_other_stacks_are_ignored(shop: Workshop) -> None:
    _renamed(shop)
    (shop.directory / "state" / "cluster" / "state.json").write_text("damaged")
    assert "new" in shop("plan").out
    (shop.directory / "web.yaml").write_text("clusters: {")
    shop("plan", status=1)


def test_a_damaged_image_store_hides_no_stack(shop: Workshop) -> None:
    _renamed(shop)
    with Stack("web.yaml") as stack:
        users = stack.library._store.directory / "users"
    next(users.glob("*.json")).write_text("damaged")
    shop("plan", status=64)
