"""Options and arguments that several commands share, and the examples in their help.

Sets of options that several commands share, so that each option is described once and stands in every help alike.

Arguments that name a file of this machine.
"""

import inspect
from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass
from functools import wraps
from inspect import Parameter
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from pragmaspec.cli.completion import addresses, clusters, nodes, parts, specs

Command = Callable[..., None]


def expand_option_groups(command: Command) -> Command:
    """``command`` for typer: each parameter whose type is a dataclass of options becomes those options, in their order."""
    signature = inspect.signature(command)
    sets: dict[str, Any] = {name: each.annotation for name, each in signature.parameters.items() if is_dataclass(each.annotation)}
    written: list[Parameter] = []
    for name, each in signature.parameters.items():
        written += _options(sets[name]) if name in sets else [each]

    @wraps(command)
    def gathered(**given: Any) -> None:  # noqa: ANN401 - typer passes what the signature below asks for
        for name, kind in sets.items():
            given[name] = kind(**{field.name: given.pop(field.name) for field in fields(kind)})
        command(**given)

    gathered.__signature__ = signature.replace(parameters=written)  # type: ignore[attr-defined]  # PEP 362 allows it
    return gathered


def _options(kind: Any) -> list[Parameter]:  # noqa: ANN401 - any dataclass
    return [Parameter(field.name, Parameter.KEYWORD_ONLY, default=field.default, annotation=field.type) for field in fields(kind)]


_Given = TypeVar("_Given")


def local_path(given: _Given) -> _Given:
    """``given``, a path, several of them or None, as it is. Raises BadParameter for a URL."""
    if given is not None:
        from pragmaspec.net.urls import UrlError, reject_url

        for each in given if isinstance(given, list) else (given,):
            try:
                reject_url(str(each))
            except UrlError as error:
                raise typer.BadParameter(f"{error}.") from None
    return given


if TYPE_CHECKING:
    from pragmaspec.stack.stack import Stack
    from pragmaspec.state.store import Store


def _known_risks(allow: list[str] | None) -> list[str] | None:
    """``allow``, as it is. Raises BadParameter for a word that nothing can be allowed by, before a site is asked anything."""
    if allow:
        from difflib import get_close_matches

        from pragmaspec.planning.safety import ALLOWANCES

        known = ", ".join(ALLOWANCES)
        for word in allow:
            if word not in ALLOWANCES:
                near = get_close_matches(word.lower().replace("_", "-"), ALLOWANCES, n=1)
                raise typer.BadParameter(
                    f"{word} cannot be allowed. {f'Did you mean {near[0]}?' if near else f'Known: {known}.'}"
                )
    return allow


def lock_timeout_s(text: str) -> float:
    """Seconds that ``text``, a duration as in a spec, says; a bare 0 is no time. Raises BadParameter with what to write."""
    from pragmaspec.spec.quantity import AmountError, milliseconds_of

    if text == "0":
        return 0.0
    try:
        return milliseconds_of(text) / 1000
    except AmountError as error:
        advice = f"write {text}s, or {text}min in one word" if text.isdecimal() else error.args[0]
        raise typer.BadParameter(f"{text!r} is not a duration: {advice}") from None


def _known_duration(text: str) -> str:
    """``text``, as it is, when it is a duration."""
    lock_timeout_s(text)
    return text


SpecArgument = Annotated[
    str | None,
    typer.Argument(
        metavar="SPEC",
        help="The spec. Default: $PRAGMASPEC_SPEC, cluster.yaml, pragmaspec.yaml, or the only spec in this directory.",
        autocompletion=specs,
        show_default=False,
        callback=local_path,
    ),
]
SpecOption = Annotated[
    str | None,
    typer.Option(
        "--spec",
        "-s",
        metavar="SPEC",
        help="The spec, when it is not the one found here.",
        autocompletion=specs,
        callback=local_path,
    ),
]
StateOption = Annotated[
    str | None,
    typer.Option(
        "--state",
        metavar="URL|DIR",
        help="Where the state is recorded. Default: the spec's `state:`, else state/<stack> beside the spec.",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON with stable, documented keys (docs/json.md).")]
VerboseOption = Annotated[bool, typer.Option("--verbose", "-v", help="Fold nothing, and show every interface with its MAC.")]
TargetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--target",
        "-t",
        metavar="ADDRESS",
        help="Only this, with what it depends on: an address, a name, or a pattern with *. Repeatable.",
        autocompletion=parts,
    ),
]
ExcludeOption = Annotated[
    list[str] | None,
    typer.Option("--exclude", metavar="ADDRESS", help="Not this, nor what depends on it. Repeatable.", autocompletion=parts),
]
ReplaceOption = Annotated[
    list[str] | None,
    typer.Option(
        "--replace",
        metavar="NODE",
        help="Make this node anew: an address, a name, or a pattern with *. Its disk is lost. Repeatable.",
        autocompletion=parts,
    ),
]
AllowOption = Annotated[
    list[str] | None,
    typer.Option(
        "--allow",
        metavar="RISK",
        help="Allow by name: rebuild, data-loss, protected. Repeatable.",
        autocompletion=lambda: ["rebuild", "data-loss", "protected"],
        callback=_known_risks,
    ),
]
ApproveOption = Annotated[bool, typer.Option("--auto-approve", "-y", help="Do not ask.")]
RollbackOption = Annotated[
    bool,
    typer.Option("--accept-rollback", help="Go on from a state that is older than one this machine has seen."),
]
MissingOption = Annotated[
    bool,
    typer.Option("--accept-missing", help="Believe a site from which much has vanished at once, and make it anew."),
]
PruneImagesOption = Annotated[
    bool,
    typer.Option("--prune-images", help="Also remove images from the sites that no node of any stack uses."),
]
StealOption = Annotated[
    bool,
    typer.Option("--steal-lock", help="Take the lock from a dead run. In a folder or PostgreSQL it is free by itself."),
]
LockTimeoutOption = Annotated[
    str,
    typer.Option(
        "--lock-timeout",
        metavar="DURATION",
        help="Wait so long for another run to end, such as 30 s or 5 min.",
        callback=_known_duration,
    ),
]
DetailedOption = Annotated[
    bool, typer.Option("--detailed-exitcode", help="Exit with 2 when there are changes or drift, 0 when there are none.")
]
SaveOption = Annotated[
    str | None,
    typer.Option(
        "--out",
        "-o",
        metavar="FILE",
        help="Save the plan, so that `apply FILE` does exactly this; `-`: to standard output.",
        callback=local_path,
    ),
]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Show the plan that would be carried out, and change nothing.")]
DryRunSaveOption = Annotated[
    str | None,
    typer.Option(
        "--out",
        "-o",
        metavar="FILE",
        help="With --dry-run: save the plan, so that `apply FILE` does exactly this.",
        callback=local_path,
    ),
]
DryRunDetailedOption = Annotated[
    bool,
    typer.Option(
        "--detailed-exitcode", help="With --dry-run: exit with 2 when there are changes or drift, 0 when there are none."
    ),
]
ClusterArgument = Annotated[str, typer.Argument(metavar="CLUSTER", help="Name of a cluster.", autocompletion=clusters)]
AddressArgument = Annotated[
    str, typer.Argument(metavar="ADDRESS", help="An address, or the name of a node.", autocompletion=addresses)
]
NodeArgument = Annotated[str, typer.Argument(metavar="NODE", help="Name or address of a node.", autocompletion=nodes)]


@dataclass(frozen=True)
class StackOptions:
    """Which stack is meant."""

    spec: SpecOption = None
    state: StateOption = None

    def stack(
        self, named: str | None = None, *, accept_rollback: bool = False, locked: bool = False, lock_timeout: str = "0"
    ) -> "Stack":
        """The stack; ``named``: the spec when it was given as an argument."""
        from pragmaspec.stack.stack import Stack

        stack = Stack(one_spec(named, self.spec), state=self.state, accept_rollback=accept_rollback, locked=locked)
        if lock_timeout_s(lock_timeout):
            wait_for_locks(stack.store, lock_timeout)
        return stack


@dataclass(frozen=True)
class AcceptOptions:
    """What a plan may believe although it looks like a mishap."""

    accept_rollback: RollbackOption = False
    accept_missing: MissingOption = False


@dataclass(frozen=True)
class ChangeOptions:
    """How a change is carried out and shown."""

    auto_approve: ApproveOption = False
    json: JsonOption = False
    verbose: VerboseOption = False
    steal_lock: StealOption = False
    lock_timeout: LockTimeoutOption = "0"


@dataclass(frozen=True)
class DryRunOptions:
    """The options of a dry run: the file for its plan, and the detailed exit status."""

    dry_run: DryRunOption = False
    save: DryRunSaveOption = None
    detailed_exitcode: DryRunDetailedOption = False

    def __post_init__(self) -> None:
        if not self.dry_run and (self.save is not None or self.detailed_exitcode):
            named = "--out" if self.save is not None else "--detailed-exitcode"
            raise typer.BadParameter(f"{named} is for what is only shown: say --dry-run too")


def wait_for_locks(store: "Store", lock_timeout: str) -> None:
    """Let ``store`` wait for another run to end, and say meanwhile for whom."""
    from pragmaspec.cli.terminal.lock_wait import LockWait

    store.wait_for_locks(lock_timeout_s(lock_timeout), LockWait())


def examples(*lines: str) -> str:
    """The closing lines of a command's help, kept as they are."""
    return "\b\nExamples:\n" + "\n".join(f"  pragmaspec {line}" for line in lines)


def one_spec(argument: str | None, option: str | None) -> str | None:
    """The spec that was named, as an argument or with --spec."""
    if argument and option and argument != option:
        raise typer.BadParameter(f"two specs are named: {argument} and {option}")
    return argument or option
