"""Locates a stack: its spec file, its name, and the place of its recorded state."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from shlex import quote

from msgspec.structs import replace

from pragmaspec.errors import UsageError
from pragmaspec.frozen import Frozen
from pragmaspec.net.urls import UrlError, reject_url, scheme_of
from pragmaspec.spec.peek import StateSetting, peek

SPEC_VARIABLE = "PRAGMASPEC_SPEC"
DEFAULT_SPEC_NAMES = ("cluster.yaml", "pragmaspec.yaml")
LOCK_FILE = "pragmaspec.lock"
"""The file with the image digests beside a spec. Repeats the name in ``images.lock.lock_file``, which is slow to import."""
_SUFFIXES = (".yaml", ".yml")


class StackLocation(Frozen, frozen=True):
    """The spec and the state of a stack. ``spec`` is the path as the user gave it; None if only the state was given."""

    spec: Path | None
    name: str
    state: str
    """The path of the state directory, or a URL."""
    encrypt: bool | None = None
    """The ``encrypt:`` setting of the spec; None: keep the state as it is."""
    state_from_spec: bool = False
    """True if ``state`` is a setting of the spec that the caller did not override."""
    state_from_caller: bool = False
    """True if the caller gave ``state``."""
    spec_from_environment: bool = False
    """True if ``spec`` is the value of ``$PRAGMASPEC_SPEC``."""

    @property
    def spec_file(self) -> Path:
        """The path of the spec. Raises UsageError if only the state was given, or if there is no such file."""
        if self.spec is None:
            raise _no_spec(Path(), ())
        if not os.path.lexists(self.spec):
            raise _missing(self.spec, from_environment=self.spec_from_environment)
        return self.spec

    @property
    def default_state(self) -> Path | None:
        """The state directory unless another one is set: ``state/<name>`` beside the spec."""
        return self.spec.parent / "state" / self.name if self.spec is not None else None

    @property
    def absolute_state(self) -> str:
        """The state as an absolute path, or its URL."""
        return self.state if is_url(self.state) else str(Path(self.state).absolute())

    @property
    def spec_state(self) -> StateSetting:
        """The ``state:`` setting of the spec, as found without parsing all of it."""
        return peek(self.spec_file).state

    @property
    def remote(self) -> bool:
        """True if the state is not in a local directory."""
        return is_url(self.state) and not self.state.startswith("file:")


def locate_stack(
    spec: str | Path | None = None, state: str | Path | None = None, environment: Mapping[str, str] = os.environ
) -> StackLocation:
    """Locate the stack of ``spec`` and ``state``.

    The spec is ``spec``, else ``$PRAGMASPEC_SPEC``, else ``cluster.yaml`` or ``pragmaspec.yaml`` in the working directory, else
    the only YAML file there with a top-level ``clusters:``. The name is its ``stack:``, else the name of the file. The state is
    ``state`` (a directory or a URL), else the ``state:`` of the spec, else ``state/<name>`` beside the spec. Raises UsageError if
    there is no spec and no ``state``, if there are several candidates, and if neither the given spec nor a state beside it
    exists.
    """
    path = _spec(spec, environment, needed=state is None)
    if path is None:
        where = str(state or ".")
        name = where.rstrip("/").rpartition("/")[2].partition("?")[0] if is_url(where) else Path(where).resolve().name
        return StackLocation(spec=None, name=name or "state", state=where)
    peeked = peek(path)
    setting = peeked.state
    location = StackLocation(
        spec=path,
        name=peeked.stack_name or path.stem,
        state=str(state or ""),
        encrypt=setting.encrypt,
        spec_from_environment=not spec and bool(environment.get(SPEC_VARIABLE)),
    )
    if state is not None:
        return replace(location, state_from_caller=True)
    if setting.url:
        # A path in a spec is relative to the directory of the spec.
        state = setting.url if is_url(setting.url) else str(path.parent / setting.url)
        return replace(location, state=state, state_from_spec=True)
    if not os.path.lexists(path) and not os.path.lexists(str(location.default_state)):
        raise _missing(path, from_environment=location.spec_from_environment)
    return replace(location, state=str(location.default_state))


def stack_name(spec: Path) -> str:
    """Return the name of the spec's stack: its ``stack:``, else the file name without suffix."""
    return peek(spec).stack_name or spec.stem


def find_specs(directory: Path) -> list[Path]:
    """Return the YAML files in ``directory`` with a top-level ``clusters:``, sorted by name."""
    if not directory.is_dir():
        return []
    files = sorted(path for path in directory.iterdir() if path.suffix in _SUFFIXES and path.is_file())
    return [path for path in files if peek(path).has_clusters]


def is_url(text: str) -> bool:
    """True if ``text`` begins with a URL scheme, and so is not a path."""
    return scheme_of(text) != ""


def _spec(spec: str | Path | None, environment: Mapping[str, str], *, needed: bool) -> Path | None:
    given = spec or environment.get(SPEC_VARIABLE)
    if not given:
        return _in_directory(Path(), needed=needed)
    try:
        reject_url(str(given))
    except UrlError as error:
        source = "" if spec else f" It is the value of {SPEC_VARIABLE}."
        raise UsageError("The spec is not a local file", f"{error}.{source}") from None
    path = Path(given)
    return _in_directory(path, needed=True) if os.path.isdir(path) else path  # noqa: PTH112 - Path.is_dir raises for long names


def _in_directory(directory: Path, *, needed: bool) -> Path | None:
    for name in DEFAULT_SPEC_NAMES:
        if (directory / name).is_file():
            return directory / name
    specs = find_specs(directory)
    if len(specs) == 1:
        return specs[0]
    if needed:
        raise _no_spec(directory, specs)
    return None


def _no_spec(directory: Path, specs: Sequence[Path]) -> UsageError:
    where = "this directory" if directory == Path() else str(directory)
    if specs:
        names = ", ".join(str(path) for path in specs)
        return UsageError(
            "Several specs could be meant",
            f"The specs in {where} are {names}. Give one on the command line, or set {SPEC_VARIABLE}.",
        )
    return UsageError(
        "No spec found",
        f"There is no {' or '.join(DEFAULT_SPEC_NAMES)} in {where}, and no other YAML file with a top-level `clusters:`. "
        f"Name the spec, set {SPEC_VARIABLE}, or write one with `pragmaspec init`.",
    )


def _missing(path: Path, *, from_environment: bool) -> UsageError:
    source = f", which the environment variable {SPEC_VARIABLE} names." if from_environment else "."
    if path.suffix in _SUFFIXES:
        advice = "`pragmaspec init` writes a first spec."
    else:
        advice = f"A spec is a YAML file; a plan is saved with `pragmaspec plan --out {quote(str(path))}`."
    return UsageError("No such file", f"There is no {path}{source} {advice}")
