"""Saved plans: ``plan --out FILE`` writes one, ``apply FILE`` does exactly that or refuses."""

import os
from hashlib import sha256
from pathlib import Path
from shlex import quote

import msgspec

from pragmaspec._version import __version__
from pragmaspec.errors import PlanRefusedError, PragmaspecError, Problem, UsageError
from pragmaspec.files import STANDARD_STREAM, is_standard_output, is_stream, read_regular, read_stream, write_stream
from pragmaspec.frozen import Frozen
from pragmaspec.planning.plan import PLAN_FORMAT, Plan
from pragmaspec.stack.location import LOCK_FILE, StackLocation, is_url
from pragmaspec.state.backends.local.durable import replace_file

KIND = "pragmaspec-plan"
_BEGIN = f'{{"kind":"{KIND}"'.encode()
_HEAD_BYTES = 64
_BYTES_MAX = 2**28
"""More than the plan of 100,000 nodes has: what keeps an endless stream from filling the memory."""
_DIGEST_BYTES = len(',"sha256":""}') + 64


class SavedPlan(Frozen, frozen=True):
    """A plan with the stack it belongs to: the spec's absolute path, and the absolute path or the URL of the state."""

    kind: str
    tool: str
    spec: str
    state: str
    plan: Plan
    name: str = ""
    encrypt: bool | None = None
    sha256: str = ""
    """Of the file without this key, which is its last."""


class _Head(msgspec.Struct):
    """The fields of every version of a saved plan."""

    kind: str
    tool: str


def check_output_file(file: str, place: StackLocation) -> None:
    """Refuse early what a plan cannot be written to: a folder, another file, a file of the stack. Raises UsageError."""
    if is_standard_output(file) or is_stream(Path(file)):
        return
    path = Path(os.path.realpath(file))
    reason = ""
    if not path.parent.is_dir():
        reason = f"There is no folder {Path(file).parent}. Make it, or name another file."
    elif os.path.isdir(path):  # noqa: PTH112 - Path.is_dir raises for long names
        reason = f"{file} is a folder. Name a file in it, such as {quote(str(Path(file, 'plan.json')))}."
    elif path in _files_of(place):
        reason = f"{file} is a file of the stack itself. Name another file, such as plan.json."
    elif not os.access(path.parent, os.W_OK | os.X_OK):
        reason = f"The folder {path.parent} may not be written to. Name another file."
    if reason:
        raise UsageError("The plan cannot be saved", reason)
    _refuse_other(file, path)


def save_plan(plan: Plan, place: StackLocation, file: str) -> None:
    """Write ``plan`` to ``file``, for its owner only; into a pipe or device, when it is one.

    Raises UsageError when something else than a saved plan is there, PragmaspecError when it cannot be written.
    """
    data = plan_document(plan, place)
    try:
        if is_stream(Path(file)):
            write_stream(file, data)
            return
        path = Path(os.path.realpath(file))
        _refuse_other(file, path)
        replace_file(path, data)
    except OSError as error:
        problem = Problem(summary="The plan cannot be saved", detail=f"{file}: {error.strerror or error}.")
        raise PragmaspecError.of([problem]) from error


def plan_document(plan: Plan, place: StackLocation) -> bytes:
    """The content of a saved plan."""
    saved = SavedPlan(
        kind=KIND,
        tool=__version__,
        spec=str(place.spec_file.absolute()),
        state=place.absolute_state,
        plan=plan,
        name=place.name,
        encrypt=place.encrypt,
    )
    return _signed(msgspec.json.encode(saved))


def _files_of(place: StackLocation) -> set[Path]:
    spec = Path(os.path.realpath(place.spec_file))
    state = () if is_url(place.state) else (Path(os.path.realpath(place.state)) / name for name in ("state.json", ".lock"))
    return {spec, spec.parent / LOCK_FILE, *state}


def _refuse_other(file: str, path: Path) -> None:
    """Refuse to write over what is neither a saved plan nor empty."""
    if os.path.lexists(path) and not is_saved_plan(path) and not (path.is_file() and path.stat().st_size == 0):
        raise UsageError(
            "Something else stands there",
            f"{file} is no saved plan, so the plan was not written over it. Name another file, such as plan.json.",
        )


def is_saved_plan(file: Path) -> bool:
    """True if the regular file ``file`` is a saved plan rather than a spec."""
    try:
        return read_regular(file, _HEAD_BYTES).startswith(_BEGIN)
    except OSError:
        return False


def open_saved_plan(file: str) -> SavedPlan | None:
    """The saved plan in the file or stream ``file``, ``-`` being standard input; None for a file that is none, such as a spec.

    A stream is read once. Raises UsageError when a stream holds no saved plan, and what :func:`read_saved_plan` raises.
    """
    if file != STANDARD_STREAM and not is_stream(Path(file)):
        return read_saved_plan(Path(file)) if is_saved_plan(Path(file)) else None
    name = "standard input" if file == STANDARD_STREAM else file
    try:
        data = read_stream(file, _BYTES_MAX)
    except OSError as error:
        raise UsageError("Saved plan not readable", f"{name}: {error.strerror or error}.") from error
    if not data.startswith(_BEGIN):
        found = "gave no saved plan" if data else "gave nothing"
        detail = f"{name} {found}. Pipe in what `pragmaspec plan --out -` writes; a spec is named as a file."
        raise UsageError("No saved plan", detail)
    return _decoded(data, name)


def read_saved_plan(file: Path) -> SavedPlan:
    """The plan in ``file``. Raises PlanRefusedError when another version made it, UsageError when it was damaged or edited."""
    try:
        data = file.read_bytes()
    except OSError as error:
        raise UsageError("Saved plan not readable", f"{file}: {error.strerror or error}.") from error
    return _decoded(data, str(file))


def _decoded(data: bytes, file: str) -> SavedPlan:
    try:
        head = msgspec.json.decode(data, type=_Head)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise _damaged(file) from error
    if head.tool != __version__:
        raise PlanRefusedError(
            "The plan was made by another version",
            f"{file} was made by pragmaspec {head.tool}; this is {__version__}. Plan again and look at the new plan. "
            "Nothing was changed.",
        )
    try:
        saved = msgspec.json.decode(data, type=SavedPlan)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise _damaged(file) from error
    if saved.plan.format != PLAN_FORMAT or _signed(data.rstrip()[:-_DIGEST_BYTES] + b"}") != data:
        raise _damaged(file)
    return saved


def location_of(saved: SavedPlan) -> StackLocation:
    """The stack of ``saved``; the spec is named as the plan names it when that is the same file from here."""
    named = Path(saved.plan.spec_file)
    spec = named if os.path.abspath(named) == saved.spec else Path(saved.spec)  # noqa: PTH100 - absolute() keeps ".."
    return StackLocation(spec=spec, name=saved.name, state=saved.state, encrypt=saved.encrypt, state_from_caller=True)


def clusters_needed_by(plan: Plan | None) -> frozenset[str] | None:
    """The clusters that the spec has to be read for, so that ``plan`` is seen to be of that spec; None: all."""
    return None if plan is None or plan.need is None else frozenset(plan.need)


def _signed(text: bytes) -> bytes:
    """The line with ``text``, an object in JSON, and its SHA-256 as a last key."""
    return b'%s,"sha256":"%s"}\n' % (text[:-1], sha256(text).hexdigest().encode())


def _damaged(file: str) -> UsageError:
    return UsageError("Saved plan damaged", f"{file} is not a whole plan. Make it again with `pragmaspec plan --out`.")
