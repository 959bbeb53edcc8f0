"""Renaming a spec does not silently create a second stack."""

import pytest

from pragmaspec.stack.stack import Stack
from tests.cli.harness import CommandLine


def _renamed(cli: CommandLine, to: str = "web.yaml") -> None:
    cli.running(0)
    (cli.directory / "cluster.yaml").rename(cli.directory / to)


@pytest.mark.parametrize("line", ["plan", "apply -y", "boot hello", "list cluster", "shutdown hello", "clean hello", "status"])
def test_a_renamed_spec_is_refused_with_every_remedy(cli: CommandLine, line: str) -> None:
    _renamed(cli)
    result = " ".join(cli(*line.split(), status=64).err.split())
    assert "state/cluster records cluster hello" in result
    for way in ("`stack: cluster`", "`mv state/cluster state/web`", "`git mv state/cluster state/web`", "`--state state/web`"):
        assert way in result
    assert [path.name for path in (cli.directory / "state").iterdir()] == ["cluster"]


def test_each_remedy_works(cli: CommandLine) -> None:
    _renamed(cli)
    web = cli.directory / "web.yaml"
    text = web.read_text()
    web.write_text(f"stack: cluster\n{text}")
    assert cli("plan").out.startswith("No changes")
    web.write_text(text)
    assert "new" in cli("plan", "--state", "state/web").out
    (cli.directory / "state" / "cluster").rename(cli.directory / "state" / "web")
    assert cli("plan").out.startswith("No changes")


def test_an_intended_second_stack_continues(cli: CommandLine) -> None:
    _renamed(cli)
    cli("apply", "-y", "--state", "state/web")
    assert cli("plan").out.startswith("No changes")


def test_two_specs_side_by_side_are_two_stacks(cli: CommandLine) -> None:
    cli.running(0)
    (cli.directory / "web.yaml").write_text((cli.directory / "cluster.yaml").read_text())
    assert "new" in cli("plan", "web.yaml").out


def test_a_stack_with_other_clusters_does_not_interfere(cli: CommandLine) -> None:
    _renamed(cli)
    (cli.directory / "web.yaml").write_text((cli.directory / "web.yaml").read_text().replace("  hello:", "  other:"))
    assert "new" in cli("plan").out


def test_a_state_used_by_another_spec_is_not_suggested(cli: CommandLine) -> None:
    _renamed(cli)
    (cli.directory / "web.yaml").rename(cli.directory / "first.yaml")
    (cli.directory / "envs").mkdir()
    text = (cli.directory / "first.yaml").read_text()
    (cli.directory / "envs" / "prod.yaml").write_text("state: ../state/cluster\n" + text.replace("./", "../"))
    cli("plan", "envs/prod.yaml")
    assert "new" in cli("plan", "first.yaml").out


def test_unreadable_states_of_other_stacks_are_ignored(cli: CommandLine) -> None:
    _renamed(cli)
    (cli.directory / "state" / "cluster" / "state.json").write_text("damaged")
    assert "new" in cli("plan").out
    (cli.directory / "web.yaml").write_text("clusters: {")
    cli("plan", status=1)


def test_a_damaged_image_store_hides_no_stack(cli: CommandLine) -> None:
    _renamed(cli)
    with Stack("web.yaml") as stack:
        users = stack.library._store.directory / "users"
    next(users.glob("*.json")).write_text("damaged")
    cli("plan", status=64)


def test_a_simulated_site_is_renamed_with_its_file(cli: CommandLine) -> None:
    cli.running(1)
    spec = cli.directory / "cluster.yaml"
    text = spec.read_text().replace("  lab:\n", "  hall:\n").replace("site: lab", "site: hall")
    spec.write_text(f"{text}moved: [{{from: lab, to: hall, kind: site}}]\n")
    assert "different site" not in cli("plan").out
    cli("apply", "-y")
    spec.write_text(text)
    assert cli("plan").out.startswith("No changes")
    records = cli("state", "list", "--json").json["records"]
    assert {record["generation"] for record in records} == {0}
