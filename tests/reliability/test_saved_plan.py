"""A saved plan is applied exactly as it was shown, or not at all."""

import pytest

from pragmaspec.errors import PragmaspecError
from pragmaspec.stack.saved_plan import read_saved_plan
from tests.cli.harness import CommandLine
from tests.reliability.runs import machines


def test_a_corrupted_or_truncated_saved_plan_is_refused(cli: CommandLine) -> None:
    cli.spec()
    cli("plan", "-o", "hello.plan")
    file = cli.directory / "hello.plan"
    whole = file.read_bytes()
    read_saved_plan(file)
    damaged = [whole[:length] for length in range(0, len(whole) - 1, 31)]
    for at in range(0, len(whole) - 1, 3):
        text = bytearray(whole)
        text[at] ^= 1 << at % 8  # every third byte, with every bit position
        damaged.append(bytes(text))
    for text in damaged:
        file.write_bytes(text)
        with pytest.raises(PragmaspecError):
            read_saved_plan(file)


def test_an_edited_saved_plan_is_refused_without_changes(cli: CommandLine) -> None:
    cli.spec()
    cli("plan", "-o", "hello.plan")
    file = cli.directory / "hello.plan"
    text = file.read_text()
    assert '"cpus":1' in text
    file.write_text(text.replace('"cpus":1', '"cpus":2'))
    assert "Saved plan damaged" in cli("apply", "hello.plan", "-y", status=64).err
    assert machines(cli) == set()
    assert not (cli.directory / "state").exists()


def test_a_saved_plan_is_refused_if_its_nodes_have_changed(cli: CommandLine) -> None:
    """A node of the plan is removed at the site between plan and apply."""
    cli.running()
    cli.spec(memory="2 GiB")
    cli("plan", "-o", "larger.plan")
    lines = (cli.directory / "site.json").read_text().splitlines()
    kept = [line for line in lines if not ("hello-compute-1" in line and '"machine"' in line)]
    (cli.directory / "site.json").write_text("\n".join(kept) + "\n")
    result = cli("apply", "larger.plan", "-y", status=4)
    assert "The sites have changed since the plan was made" in result.err
    assert "hello-compute-1" in result.err
    assert machines(cli) == {"hello-frontend", "hello-compute-0"}


def test_a_saved_plan_is_refused_at_another_site_of_the_same_name(cli: CommandLine) -> None:
    cli.running()
    cli.spec(3)
    cli("plan", "-o", "three.plan")
    (cli.directory / "site.json").rename(cli.directory / "away.json")
    (cli.directory / "site.json").write_text('{"kind":"site","format":1,"name":"other"}\n')
    result = cli("apply", "three.plan", "-y", status=4)
    assert machines(cli) == set()
    assert "Nothing was changed" in result.err
