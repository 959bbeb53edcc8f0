"""Saved plans: written by ``plan --out FILE``, and applied exactly, or refused, by ``apply FILE``."""

import os
from hashlib import sha256
from pathlib import Path
from shlex import quote

import msgspec

from pragmaspec._version import __version__
from pragmaspec.errors import PlanRefusedError, PragmaspecError, UsageError
from pragmaspec.files import STANDARD_STREAM, is_standard_output, is_stream, read_regular, read_stream, write_stream
from pragmaspec.frozen import Frozen
from pragmaspec.planning.plan import PLAN_FORMAT, Plan
from pragmaspec.spec.peek import SAVED_PLAN_BEGIN, SAVED_PLAN_KIND
from pragmaspec.stack.location import LOCK_FILE, StackLocation, is_url
from pragmaspec.state.backends.local.durable import replace_file

_HEAD_BYTES = 64
_BYTES_MAX = 2**28
"""More than a plan of 100,000 nodes; keeps an endless stream from filling the memory."""
_DIGEST_BYTES = len(',"sha256":""}') + 64


class SavedPlan(Frozen, frozen=True):
    """A plan and its stack: the absolute path of the spec, and the absolute path or URL of the state."""

    kind: str
    tool: str
    spec: str
    state: str
    plan: Plan
    name: str = ""
    encrypt: bool | None = None
    sha256: str = ""
    """SHA-256 of the file without this key, which is the last one."""


class _Head(msgspec.Struct):
    """The fields common to all versions of a saved plan."""

    kind: str
    tool: str


def check_output_file(file: str, location: StackLocation) -> None:
    """Raise UsageError if a plan cannot be saved as ``file``: a directory, a foreign file or a file of the stack."""
    if is_standard_output(file) or is_stream(Path(file)):
        return
    path = Path(os.path.realpath(file))
    reason = ""
    if not path.parent.is_dir():
        reason = f"There is no directory {Path(file).parent}. Make it, or name another file."
    elif os.path.isdir(path):  # noqa: PTH112 - Path.is_dir raises for long names
        reason = f"{file} is a directory. Name a file in it, such as {quote(str(Path(file, 'plan.json')))}."
    elif path in _files_of(location):
        reason = f"{file} is a file of the stack itself. Name another file, such as plan.json."
    elif not os.access(path.parent, os.W_OK | os.X_OK):
        reason = f"The directory {path.parent} may not be written to. Name another file."
    if reason:
        raise UsageError("The plan cannot be saved", reason)
    _refuse_other(file, path)


def save_plan(plan: Plan, location: StackLocation, file: str) -> None:
    """Write ``plan`` to the private ``file``, or to a pipe or device.

    Raises UsageError rather than overwrite a file that is not a saved plan, and PragmaspecError if the write fails.
    """
    data = plan_document(plan, location)
    try:
        if is_stream(Path(file)):
            write_stream(file, data)
            return
        path = Path(os.path.realpath(file))
        _refuse_other(file, path)
        replace_file(path, data)
    except OSError as error:
        raise PragmaspecError("The plan cannot be saved", f"{file}: {error.strerror or error}.") from error


def plan_document(plan: Plan, location: StackLocation) -> bytes:
    """Return the content of a saved plan."""
    saved = SavedPlan(
        kind=SAVED_PLAN_KIND,
        tool=__version__,
        spec=str(location.spec_file.absolute()),
        state=location.absolute_state,
        plan=plan,
        name=location.name,
        encrypt=location.encrypt,
    )
    return _signed(msgspec.json.encode(saved))


def _files_of(location: StackLocation) -> set[Path]:
    spec = Path(os.path.realpath(location.spec_file))
    state = () if is_url(location.state) else (Path(os.path.realpath(location.state)) / name for name in ("state.json", ".lock"))
    return {spec, spec.parent / LOCK_FILE, *state}


def _refuse_other(file: str, path: Path) -> None:
    """Raise UsageError rather than overwrite a file that is neither a saved plan nor empty."""
    if os.path.lexists(path) and not is_saved_plan(path) and not (path.is_file() and path.stat().st_size == 0):
        raise UsageError(
            "Not a saved plan",
            f"{file} exists and is not a saved plan, so it was not overwritten. Choose another file, such as plan.json.",
        )


def is_saved_plan(file: Path) -> bool:
    """True if the regular file ``file`` is a saved plan rather than a spec."""
    try:
        return read_regular(file, _HEAD_BYTES).startswith(SAVED_PLAN_BEGIN)
    except OSError:
        return False


def open_saved_plan(file: str) -> SavedPlan | None:
    """Return the saved plan in a file or stream, ``-`` being standard input; None for any other file, such as a spec.

    A stream is read once. Raises UsageError for a stream without a saved plan, and the errors of :func:`read_saved_plan`.
    """
    if file != STANDARD_STREAM and not is_stream(Path(file)):
        return read_saved_plan(Path(file)) if is_saved_plan(Path(file)) else None
    name = "standard input" if file == STANDARD_STREAM else file
    try:
        data = read_stream(file, _BYTES_MAX)
    except OSError as error:
        raise UsageError("Saved plan not readable", f"{name}: {error.strerror or error}.") from error
    if not data.startswith(SAVED_PLAN_BEGIN):
        found = "is not a saved plan" if data else "is empty"
        detail = f"{name} {found}. Pipe in the output of `pragmaspec plan --out -`; a spec has to be a file."
        raise UsageError("No saved plan", detail)
    return _decoded(data, name)


def read_saved_plan(file: Path) -> SavedPlan:
    """Return the plan in ``file``. Raises PlanRefusedError for another version, UsageError for a damaged or edited plan."""
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
            f"{file} was made by pragmaspec {head.tool}; this is {__version__}. Plan again and review the new plan. "
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
    """Return the stack of ``saved``. The spec keeps the path in the plan if it is the same file in this directory."""
    named = Path(saved.plan.spec_file)
    spec = named if os.path.abspath(named) == saved.spec else Path(saved.spec)  # noqa: PTH100 - absolute() keeps ".."
    return StackLocation(spec=spec, name=saved.name, state=saved.state, encrypt=saved.encrypt, state_from_caller=True)


def clusters_needed_by(plan: Plan | None) -> frozenset[str] | None:
    """Return the clusters whose details are needed to compare ``plan`` with its spec; None: all."""
    return None if plan is None or plan.need is None else frozenset(plan.need)


def _signed(text: bytes) -> bytes:
    """Return the JSON object ``text`` with its SHA-256 as the last key, as a line."""
    return b'%s,"sha256":"%s"}\n' % (text[:-1], sha256(text).hexdigest().encode())


def _damaged(file: str) -> UsageError:
    return UsageError("Saved plan damaged", f"{file} is incomplete or edited. Create it again with `pragmaspec plan --out`.")
