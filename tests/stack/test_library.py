"""The Python library as used in a notebook."""

import re
from pathlib import Path

import pytest

import pragmaspec
from pragmaspec import PlanRefusedError, SiteError, Stack, UsageError
from pragmaspec.errors import PragmaspecError
from pragmaspec.stack.location import StackLocation
from tests.cli.harness import CommandLine

ROOT = Path(__file__).parents[2]


def test_the_library_plans_and_applies_like_the_command_line(cli: CommandLine) -> None:
    cli.spec()
    with Stack("cluster.yaml") as stack:
        plan = stack.plan()
        assert "Plan: 1 to stage (1 MiB to transfer), 1 to allocate, 3 to boot." in str(plan)
        applied = stack.apply(plan)
        assert len(applied.done) == 5
        assert [node.name for node in stack.nodes()] == ["hello-frontend", "hello-compute-0", "hello-compute-1"]
        assert stack.plan().empty
        assert stack.look().drift == ()
        assert not stack.interrupted()
    assert cli("plan").out.startswith("No changes")


def test_apply_without_a_plan_makes_one_and_refuses_data_loss_unless_allowed(cli: CommandLine) -> None:
    cli.spec(2)
    stack = Stack()
    assert stack.name == "cluster"
    stack.apply()
    cli.spec(1)
    with pytest.raises(PlanRefusedError, match="data-loss"):
        stack.apply()
    stack.apply(allow=("data-loss",))
    assert len(stack.nodes("hello")) == 2
    with pytest.raises(UsageError, match=r"other is not recorded\. Recorded clusters: hello\."):
        stack.nodes("other")


def test_boot_shutdown_and_clean(cli: CommandLine) -> None:
    cli.spec()
    stack = Stack()
    stack.boot("hello")
    stack.shutdown("hello")
    assert {node.status for each in stack.look().observations.values() for node in each.nodes} == {"off"}
    stack.boot("hello")
    with pytest.raises(PlanRefusedError, match="--shutdown"):
        stack.clean("hello")
    stack.clean("hello", shutdown=True)
    assert stack.nodes() == ()


def test_repr_of_a_plan_is_its_full_text(cli: CommandLine) -> None:
    cli.spec()

    plan = Stack().plan(targets=["hello-frontend"])
    assert repr(plan) == str(plan)
    assert "Partial plan" in repr(plan)


def test_repr_of_a_stack_names_the_stack_and_its_spec(cli: CommandLine) -> None:
    cli.spec()
    assert repr(Stack()) == "<Stack cluster, described by cluster.yaml>"
    assert repr(Stack(state="state/gone")) == "<Stack cluster, described by cluster.yaml>"
    assert (
        repr(Stack(location=StackLocation(spec=None, name="gone", state="postgresql://host/x"))) == "<Stack gone, without a spec>"
    )


def test_a_single_string_is_accepted_for_targets_exclude_and_allow(cli: CommandLine) -> None:
    cli.spec()
    stack = Stack()
    assert repr(stack.plan(targets="hello")) == repr(stack.plan(targets=["hello"]))
    assert repr(stack.plan(exclude="hello-compute-1")) == repr(stack.plan(exclude=("hello-compute-1",)))
    stack.apply()
    cli.spec(1)
    stack.apply(allow="data-loss")
    assert len(stack.nodes("hello")) == 2
    with pytest.raises(UsageError, match="rebild cannot be allowed"):
        stack.boot("hello", allow="rebild")
    with pytest.raises(UsageError, match="rebild cannot be allowed"):
        stack.clean("hello", shutdown=True, allow="rebild")


def test_the_documentation_example_runs(cli: CommandLine) -> None:
    """The example in docs/library.md runs unchanged except for the login: a simulated site has no ssh server."""
    cli.spec()
    text = (ROOT / "docs" / "library.md").read_text(encoding="utf-8")
    example = re.search(r"```python\n(.*?)```", text, re.DOTALL)
    assert example is not None
    lines = [line for line in example[1].splitlines() if "ssh(" not in line]
    assert len([line for line in example[1].splitlines() if line.strip()]) <= 10
    exec("\n".join(lines), {})  # noqa: S102 - our own documentation


def test_every_public_name_can_be_imported() -> None:
    assert set(pragmaspec.__all__) <= set(dir(pragmaspec))
    for name in pragmaspec.__all__:
        assert getattr(pragmaspec, name) is not None
    assert issubclass(SiteError, PragmaspecError)
    with pytest.raises(AttributeError, match="nothing"):
        _ = pragmaspec.nothing


def test_every_error_class_is_exported() -> None:
    """Every error class can be imported from the package."""
    from pragmaspec import errors

    classes = {name for name, value in vars(errors).items() if isinstance(value, type) and issubclass(value, Exception)}
    assert classes <= set(pragmaspec.__all__)


def test_a_stack_without_a_spec_lists_nodes_but_cannot_plan(cli: CommandLine) -> None:
    with pytest.raises(UsageError, match="No spec found"):
        Stack()
    only_state = Stack(state=cli.directory / "state" / "gone")
    assert only_state.name == "gone"
    assert only_state.nodes() == ()
    with pytest.raises(UsageError, match="No spec found"):
        only_state.plan()
