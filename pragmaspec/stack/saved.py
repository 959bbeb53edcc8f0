"""Saved plans: ``plan --out FILE`` writes one, ``apply FILE`` does exactly that or refuses."""

import os
from hashlib import sha256
from pathlib import Path

import msgspec

from pragmaspec import __version__
from pragmaspec.errors import PlanRefusedError, PragmaspecError, Problem, UsageError
from pragmaspec.frozen import Frozen
from pragmaspec.planning.plan import PLAN_FORMAT, Plan
from pragmaspec.stack.place import Place
from pragmaspec.stack.state_line import is_url
from pragmaspec.store.durable import replace_file

KIND = "pragmaspec-plan"
_HEAD_BYTES = 64
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
    """What every version of a saved plan has."""

    kind: str
    tool: str


def save_plan(plan: Plan, place: Place, file: Path) -> None:
    """Write ``plan`` to ``file``, for its owner only.

    Raises UsageError when something else than a saved plan stands there, PragmaspecError when it cannot be written.
    """
    if os.path.lexists(file) and not is_saved_plan(file):
        raise UsageError(
            Problem(
                summary="Something else stands there",
                detail=f"{file} is no saved plan, so the plan was not written over it. Name another file, such as plan.json.",
            )
        )
    saved = SavedPlan(
        kind=KIND,
        tool=__version__,
        spec=str(place.spec_file.absolute()),
        state=place.state if is_url(place.state) else str(Path(place.state).absolute()),
        plan=plan,
        name=place.name,
        encrypt=place.encrypt,
    )
    try:
        replace_file(file, _signed(msgspec.json.encode(saved)))
    except OSError as error:
        problem = Problem(summary="The plan cannot be saved", detail=f"{file}: {error.strerror or error}.")
        raise PragmaspecError(problem) from error


def is_saved_plan(file: Path) -> bool:
    """Whether ``file`` is a saved plan rather than a spec."""
    try:
        with file.open("rb") as opened:
            return opened.read(_HEAD_BYTES).startswith(f'{{"kind":"{KIND}"'.encode())
    except OSError:
        return False


def read_saved_plan(file: Path) -> SavedPlan:
    """The plan in ``file``. Raises PlanRefusedError when another version made it, UsageError when it was damaged or edited."""
    try:
        data = file.read_bytes()
        head = msgspec.json.decode(data, type=_Head)
    except OSError as error:
        raise UsageError(Problem(summary="Saved plan not readable", detail=f"{file}: {error.strerror or error}.")) from error
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise _damaged(file) from error
    if head.tool != __version__:
        raise PlanRefusedError(
            Problem(
                summary="The plan was made by another version",
                detail=f"{file} was made by pragmaspec {head.tool}; this is {__version__}. Plan again and look at the new plan. "
                "Nothing was changed.",
            )
        )
    try:
        saved = msgspec.json.decode(data, type=SavedPlan)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise _damaged(file) from error
    if saved.plan.format != PLAN_FORMAT or _signed(data.rstrip()[:-_DIGEST_BYTES] + b"}") != data:
        raise _damaged(file)
    return saved


def place_of(saved: SavedPlan) -> Place:
    """The stack of ``saved``; the spec is named as the plan names it when that is the same file from here."""
    named = Path(saved.plan.spec_file)
    spec = named if os.path.abspath(named) == saved.spec else Path(saved.spec)  # noqa: PTH100 - absolute() keeps ".."
    return Place(spec=spec, name=saved.name, state=saved.state, encrypt=saved.encrypt)


def _signed(text: bytes) -> bytes:
    """The line with ``text``, an object in JSON, and its SHA-256 as a last key."""
    return b'%s,"sha256":"%s"}\n' % (text[:-1], sha256(text).hexdigest().encode())


def _damaged(file: Path) -> UsageError:
    return UsageError(
        Problem(summary="Saved plan damaged", detail=f"{file} is not a whole plan. Make it again with `pragmaspec plan --out`.")
    )
