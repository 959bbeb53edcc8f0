"""Options and arguments shared by several commands, and groups of options.

A group is a dataclass of options. A command takes it as one parameter, which :func:`expand_option_groups` expands for typer.
"""

import inspect
from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass
from functools import wraps
from inspect import Parameter
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from pragmaspec.cli.completion import addresses, clusters, nodes, parts, specs

if TYPE_CHECKING:
    from pragmaspec.planning.request import PlanRequest
    from pragmaspec.stack.stack import Stack
    from pragmaspec.state.store import Store

Command = Callable[..., None]
_Value = TypeVar("_Value")


def expand_option_groups(command: Command) -> Command:
    """Return ``command`` with every parameter whose type is an option group replaced by the options of the group, in order."""
    signature = inspect.signature(command)
    groups: dict[str, Any] = {
        name: each.annotation for name, each in signature.parameters.items() if is_dataclass(each.annotation)
    }
    parameters: list[Parameter] = []
    for name, each in signature.parameters.items():
        parameters += _options(groups[name]) if name in groups else [each]

    @wraps(command)
    def expanded(**values: Any) -> None:  # noqa: ANN401 - typer passes the values of the signature below
        for name, group in groups.items():
            values[name] = group(**{field.name: values.pop(field.name) for field in fields(group)})
        command(**values)

    expanded.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]  # PEP 362 allows it
    return expanded


def _options(group: Any) -> list[Parameter]:  # noqa: ANN401 - any dataclass
    return [
        Parameter(field.name, Parameter.KEYWORD_ONLY, default=field.default, annotation=field.type) for field in fields(group)
    ]


def examples(*lines: str) -> str:
    """Return the examples at the end of a command's help, unwrapped."""
    return "\b\nExamples:\n" + "\n".join(f"  pragmaspec {line}" for line in lines)


def local_path(value: _Value) -> _Value:
    """Return ``value``: a path, several paths, or None. Raises BadParameter for a URL."""
    if value is not None:
        from pragmaspec.net.urls import UrlError, reject_url

        for each in value if isinstance(value, list) else (value,):
            try:
                reject_url(str(each))
            except UrlError as error:
                raise typer.BadParameter(f"{error}.") from None
    return value


def one_spec(argument: str | None, option: str | None) -> str | None:
    """Return the spec given by the argument or by --spec. Raises BadParameter if they differ."""
    if argument and option and argument != option:
        raise typer.BadParameter(f"two specs are given: {argument} and {option}")
    return argument or option


def lock_timeout_s(text: str) -> float:
    """Return the seconds of ``text``, a duration as in a spec; 0 needs no unit. Raises BadParameter with the correct form."""
    from pragmaspec.spec.quantity import AmountError, milliseconds_of

    if text == "0":
        return 0.0
    try:
        return milliseconds_of(text) / 1000
    except AmountError as error:
        advice = f"write {text}s, or {text}min in one word" if text.isdecimal() else error.args[0]
        raise typer.BadParameter(f"{text!r} is not a duration: {advice}") from None


def wait_for_locks(store: "Store", lock_timeout: str) -> None:
    """Let ``store`` wait for other runs, and print their description meanwhile."""
    from pragmaspec.cli.terminal.lock_wait import LockWaitMessages

    store.wait_for_locks(lock_timeout_s(lock_timeout), LockWaitMessages())


def _known_risks(allow: list[str] | None) -> list[str] | None:
    """Return ``allow``. Raises BadParameter for an unknown risk, before any site is queried."""
    if allow:
        from pragmaspec.planning.safety import ALLOWANCES
        from pragmaspec.text import did_you_mean

        known = f"Known: {', '.join(ALLOWANCES)}."
        for word in allow:
            if word not in ALLOWANCES:
                raise typer.BadParameter(f"{word} cannot be allowed. {did_you_mean(word, ALLOWANCES, known)}")
    return allow


def _known_duration(text: str) -> str:
    """Return ``text``. Raises BadParameter if it is not a duration."""
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
        help="The spec, instead of the default one.",
        autocompletion=specs,
        callback=local_path,
    ),
]
StateOption = Annotated[
    str | None,
    typer.Option(
        "--state",
        metavar="URL|DIR",
        help="Location of the state. Default: the spec's `state:`, else state/<stack> beside the spec.",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON with stable, documented keys (docs/json.md).")]
VerboseOption = Annotated[bool, typer.Option("--verbose", "-v", help="Show every line, and every interface with its MAC.")]
TargetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--target",
        "-t",
        metavar="ADDRESS",
        help="Only this resource and its dependencies: an address, a name, or a pattern with *. Repeatable.",
        autocompletion=parts,
    ),
]
ExcludeOption = Annotated[
    list[str] | None,
    typer.Option(
        "--exclude",
        metavar="ADDRESS",
        help="Exclude this resource and everything that depends on it. Repeatable.",
        autocompletion=parts,
    ),
]
ReplaceOption = Annotated[
    list[str] | None,
    typer.Option(
        "--replace",
        metavar="NODE",
        help="Rebuild this node: an address, a name, or a pattern with *. Its disk is lost. Repeatable.",
        autocompletion=parts,
    ),
]
AllowOption = Annotated[
    list[str] | None,
    typer.Option(
        "--allow",
        metavar="RISK",
        help="Allow a risk by name: rebuild, data-loss, protected. Repeatable.",
        autocompletion=lambda: ["rebuild", "data-loss", "protected"],
        callback=_known_risks,
    ),
]
ApproveOption = Annotated[bool, typer.Option("--auto-approve", "-y", help="Skip the confirmation.")]
RollbackOption = Annotated[
    bool,
    typer.Option("--accept-rollback", help="Accept a state that is older than one this machine has seen."),
]
MissingOption = Annotated[
    bool,
    typer.Option("--accept-missing", help="Accept that many resources have disappeared at once, and create them again."),
]
PruneImagesOption = Annotated[
    bool,
    typer.Option("--prune-images", help="Also remove images from the sites that no node of any stack uses."),
]
StealOption = Annotated[
    bool,
    typer.Option("--steal-lock", help="Take over the lock of a dead run. A directory and PostgreSQL release it automatically."),
]
LockTimeoutOption = Annotated[
    str,
    typer.Option(
        "--lock-timeout",
        metavar="DURATION",
        help="Wait up to this long for another run, such as 30s or 5min.",
        callback=_known_duration,
    ),
]
DetailedOption = Annotated[
    bool, typer.Option("--detailed-exitcode", help="Exit with 2 if there are changes or drift, 0 if there are none.")
]
SaveOption = Annotated[
    str | None,
    typer.Option(
        "--out",
        "-o",
        metavar="FILE",
        help="Save the plan for `apply FILE`; `-`: to standard output.",
        callback=local_path,
    ),
]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Show the plan without changing anything.")]
DryRunSaveOption = Annotated[
    str | None,
    typer.Option(
        "--out",
        "-o",
        metavar="FILE",
        help="With --dry-run: save the plan for `apply FILE`.",
        callback=local_path,
    ),
]
DryRunDetailedOption = Annotated[
    bool,
    typer.Option("--detailed-exitcode", help="With --dry-run: exit with 2 if there are changes or drift, 0 if there are none."),
]
ClusterArgument = Annotated[str, typer.Argument(metavar="CLUSTER", help="Name of a cluster.", autocompletion=clusters)]
AddressArgument = Annotated[
    str,
    typer.Argument(
        metavar="ADDRESS",
        help="Address of a resource, or a unique name: of a node, image, volume or cluster.",
        autocompletion=addresses,
    ),
]
NodeArgument = Annotated[str, typer.Argument(metavar="NODE", help="Name or address of a node.", autocompletion=nodes)]


@dataclass(frozen=True)
class StackOptions:
    """The stack that a command uses: its spec and the location of its state."""

    spec: SpecOption = None
    state: StateOption = None

    def stack(
        self, spec: str | None = None, *, accept_rollback: bool = False, locked: bool = False, lock_timeout: str = "0"
    ) -> "Stack":
        """Open the stack. ``spec``: the spec given as an argument, if any."""
        from pragmaspec.stack.stack import Stack

        stack = Stack(one_spec(spec, self.spec), state=self.state, accept_rollback=accept_rollback, locked=locked)
        if lock_timeout_s(lock_timeout):
            wait_for_locks(stack.store, lock_timeout)
        return stack


@dataclass(frozen=True)
class AcceptOptions:
    """Situations that block a plan unless they are accepted."""

    accept_rollback: RollbackOption = False
    accept_missing: MissingOption = False


@dataclass(frozen=True)
class SelectionOptions:
    """The part of the stack that a plan covers, and its optional actions."""

    target: TargetOption = None
    exclude: ExcludeOption = None
    replace: ReplaceOption = None
    prune_images: PruneImagesOption = False

    def request(self, accept: AcceptOptions) -> "PlanRequest":
        """Return the request for a plan."""
        from pragmaspec.planning.request import PlanRequest

        return PlanRequest(
            targets=tuple(self.target or ()),
            exclude=tuple(self.exclude or ()),
            replace=tuple(self.replace or ()),
            accept_missing=accept.accept_missing,
            prune_images=self.prune_images,
        )


@dataclass(frozen=True)
class ChangeOptions:
    """Options for confirming, applying and showing a plan."""

    auto_approve: ApproveOption = False
    json: JsonOption = False
    verbose: VerboseOption = False
    steal_lock: StealOption = False
    lock_timeout: LockTimeoutOption = "0"


@dataclass(frozen=True)
class DryRunOptions:
    """A dry run, the file for its plan, and its exit status."""

    requested: DryRunOption = False
    save: DryRunSaveOption = None
    detailed_exitcode: DryRunDetailedOption = False

    def __post_init__(self) -> None:
        if not self.requested and (self.save is not None or self.detailed_exitcode):
            option = "--out" if self.save is not None else "--detailed-exitcode"
            raise typer.BadParameter(f"{option} requires --dry-run")
