"""Where a stack is: its spec file, its name, and where its state is recorded. Reads no YAML.

The spec's ``stack:`` and ``state:``, found without reading the whole spec where they are written as usual. Pure.

Commands that only need the state must be quick, so the usual forms are found by their lines. Any other form, such as flow style,
an anchor, or an indented document, is read as YAML.

Folders of the user that a stack reads besides its own.
"""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from shlex import quote

from msgspec.structs import replace

from pragmaspec.errors import Problem, UsageError
from pragmaspec.files import read_regular
from pragmaspec.frozen import Frozen
from pragmaspec.net.urls import UrlError, reject_url
from pragmaspec.paths import cache_home, config_home

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:")
_VALUE = rb"""(?:"(?P<double>[^"\n]*)"|'(?P<single>[^'\n]*)'|(?P<plain>[^\s"'{}\[\],&*!|>#][^\s,}]*))"""
_END = rb"""[ \t]*(?:[ \t]#.*)?\r?$"""
_KEY = rb"""^(?:state|"state"|'state')[ \t]*:"""
_LINE = re.compile(_KEY + rb"[ \t]+" + _VALUE + _END, re.MULTILINE)
_FLOW = re.compile(_KEY + rb"[ \t]+\{(?P<inside>[^{}\n]*)\}" + _END, re.MULTILINE)
_BLOCK = re.compile(_KEY + rb"[ \t]*(?:#.*)?\r?\n(?P<inside>(?:(?:[ \t]+.*|[ \t]*#.*)?\r?\n|[ \t]+.*\Z)+)", re.MULTILINE)
_URL = re.compile(rb"""(?:^|[,{\s])["']?url["']?[ \t]*:[ \t]+""" + _VALUE + rb"""(?=[ \t]*(?:[,}]|\r?$|[ \t]#))""", re.MULTILINE)
_URL_KEY = re.compile(rb"""url["']?[ \t]*:""")
_ENCRYPT = re.compile(rb"""(?:^|[,{\s])["']?encrypt["']?[ \t]*:[ \t]+(true|false)\b""")
_NAME = re.compile("[A-Za-z0-9][A-Za-z0-9_.-]*")
_STACK = re.compile(
    rb"""^(?:stack|"stack"|'stack')[ \t]*:[ \t]*(["']?)([A-Za-z0-9][A-Za-z0-9_.-]*)\1[ \t]*(?:#.*)?\r?$""", re.MULTILINE
)
_EXPLICIT = re.compile(rb"^\?[ \t]", re.MULTILINE)
_FIRST = re.compile(rb"^(?![ \t]*(?:#|\r?$|%|---[ \t]*\r?$)).+", re.MULTILINE)
_TRUE, _FALSE = ("true", "True", "TRUE"), ("false", "False", "FALSE")
_NOTHING = ("null", "~")


class StateSetting(Frozen, frozen=True):
    """What the spec says about its state: ``url`` (a path or a URL), and whether to ``encrypt``; empty and None: nothing."""

    url: str = ""
    encrypt: bool | None = None


def peek_state(spec: bytes) -> StateSetting:
    """The state that the text of a spec names. Empty if the text cannot be read: reading the whole spec gives the reason."""
    if _unusual(spec, b"state"):
        return _state_of(top_level_value(spec, "state"))
    line = _LINE.search(spec)
    if line:
        text = _text(line)
        return StateSetting(url="" if line["plain"] is not None and text in _NOTHING else text)
    block = _FLOW.search(spec) or _BLOCK.search(spec)
    if block is None:
        return StateSetting()
    inside = re.sub(rb"(?m)(?:^|[ \t])#.*$", b"", block["inside"])
    url, encrypt = _URL.search(inside), _ENCRYPT.search(inside)
    return StateSetting(url=_text(url) if url else "", encrypt=encrypt[1] == b"true" if encrypt else None)


def peek_stack_name(spec: bytes) -> str | None:
    """The name of the stack in the text of a spec; None if there is none."""
    line = _STACK.search(spec)
    if line:
        return line[2].decode()
    value = top_level_value(spec, "stack") if _unusual(spec, b"stack") else None
    return value if isinstance(value, str) and _NAME.fullmatch(value) else None


def top_level_value(spec: bytes, key: str) -> object:
    """The value of a top-level ``key``, as dictionaries, lists and text; None when there is none or ``spec`` cannot be read."""
    from pragmaspec.errors import SpecError
    from pragmaspec.spec.yaml.parser import read_document
    from pragmaspec.spec.yaml.tree import plain_data

    try:
        node = read_document(spec, "").root.items.get(key)
    except SpecError:
        return None
    return None if node is None else plain_data(node)


def _unusual(spec: bytes, key: bytes) -> bool:
    """True if ``key`` may be at the top level in a form that only a YAML parser reads."""
    if key not in spec:
        return False
    first = _FIRST.search(spec)
    if (first and (first[0][:1] in b"{ " or first[0].startswith(b"--- "))) or _EXPLICIT.search(spec):
        return True
    line = re.search(rb"""(?m)^(?:%b|"%b"|'%b')[ \t]*:""" % (key, key, key), spec)
    if line is None:
        return False
    rest = spec[line.start() :]
    usual = (_STACK,) if key == b"stack" else (_LINE, _FLOW, _BLOCK)
    found = next((match for form in usual if (match := form.match(rest))), None)
    if found is None or b"\\" in found[0] or b"&" in found[0] or b"*" in found[0]:
        return True
    if "inside" in found.groupdict() and _URL_KEY.search(found["inside"]) and not _URL.search(found["inside"]):
        return True  # a value with blanks, say
    after = rest[found.end() :].lstrip(b"\r\n")
    return _continues(after)


def _continues(after: bytes) -> bool:
    """True if the value of a line continues in ``after``: the next line that is not a comment is indented."""
    line = next((line for line in after.splitlines() if line.strip() and not line.lstrip().startswith(b"#")), b"")
    return line[:1] in b" \t" and line != b""


def _state_of(value: object) -> StateSetting:
    if isinstance(value, dict):
        url, encrypt = value.get("url"), value.get("encrypt")
        return StateSetting(url=_url(url), encrypt=encrypt in _TRUE if encrypt in {*_TRUE, *_FALSE} else None)
    return StateSetting(url=_url(value))


def _url(value: object) -> str:
    """``value`` when it is a text; an unquoted ``null`` is none."""
    return "" if not isinstance(value, str) or (type(value) is not str and value in _NOTHING) else str(value)


def is_url(text: str) -> bool:
    """Whether ``text`` begins with a scheme, so that it is no path."""
    return _SCHEME.match(text) is not None


def _text(found: re.Match[bytes]) -> str:
    return next(value for value in found.group("double", "single", "plain") if value is not None).decode(errors="replace")


SPEC_VARIABLE = "PRAGMASPEC_SPEC"
DEFAULT_SPEC_NAMES = ("cluster.yaml", "pragmaspec.yaml")
_SUFFIXES = (".yaml", ".yml")
_READ_BYTES = 4 * 2**20
_CLUSTERS_LINE = re.compile(rb"""^(?:clusters|"clusters"|'clusters')[ \t]*:""", re.MULTILINE)


class StackLocation(Frozen, frozen=True):
    """A stack on disk. ``spec`` is the path as the user named it; None when only the state was named."""

    spec: Path | None
    name: str
    state: str
    """Where its state is recorded: the path of a folder, or a URL."""
    encrypt: bool | None = None
    """Whether the spec asks for a state that only the stack's key can read; None: it says nothing, so as it is."""
    state_from_spec: bool = False
    """True if the spec names ``state``, and no caller overrides it."""
    state_from_caller: bool = False
    """True if the caller named ``state``."""
    spec_from_environment: bool = False
    """True if ``$PRAGMASPEC_SPEC`` named the spec."""

    @property
    def spec_file(self) -> Path:
        """The spec. Raises UsageError when only the state was named, or nothing is called as the spec was named."""
        if self.spec is None:
            raise UsageError.of([_no_spec(Path(), ())])
        if not os.path.lexists(self.spec):
            raise UsageError.of([_missing(self.spec, by_variable=self.spec_from_environment)])
        return self.spec

    @property
    def default_state(self) -> Path | None:
        """Where the state is recorded unless somebody says otherwise: ``state/<name>`` beside the spec."""
        return self.spec.parent / "state" / self.name if self.spec is not None else None

    @property
    def spec_state(self) -> StateSetting:
        """What the quick look finds the spec to say about its state."""
        return peek_state(_head(self.spec_file))

    @property
    def remote(self) -> bool:
        """Whether the state is recorded elsewhere than in a folder."""
        return is_url(self.state) and not self.state.startswith("file:")


def locate_stack(
    spec: str | Path | None = None, state: str | Path | None = None, environment: Mapping[str, str] = os.environ
) -> StackLocation:
    """The stack that is meant.

    The spec is ``spec``, else ``$PRAGMASPEC_SPEC``, else ``cluster.yaml`` or ``pragmaspec.yaml`` here, else the only YAML file
    here that has a top-level ``clusters:``. Its name is its ``stack:``, else the file's name; the state is ``state`` (a folder or
    a URL), else what the spec's ``state:`` says, else ``state/<name>`` beside the spec. Raises UsageError when no spec is found
    and no ``state`` given, when several could be meant, and when neither the named spec nor a state beside it is there.
    """
    found = _spec(spec, environment, needed=state is None)
    if found is None:
        where = str(state or ".")
        name = where.rstrip("/").rpartition("/")[2].partition("?")[0] if is_url(where) else Path(where).resolve().name
        return StackLocation(spec=None, name=name or "state", state=where)
    head = _head(found)
    said = peek_state(head)
    place = StackLocation(
        spec=found,
        name=_name(head, found),
        state=str(state or ""),
        encrypt=said.encrypt,
        spec_from_environment=not spec and bool(environment.get(SPEC_VARIABLE)),
    )
    if state is not None:
        return replace(place, state_from_caller=True)
    if said.url:
        return replace(place, state=_from_spec(found, said.url), state_from_spec=True)
    if not os.path.lexists(found) and not os.path.lexists(str(place.default_state)):
        raise UsageError.of([_missing(found, by_variable=place.spec_from_environment)])
    return replace(place, state=str(place.default_state))


def stack_name(spec: Path) -> str:
    """What the spec calls its stack: the value of a top-level ``stack:``, else the file's name without its ending."""
    return _name(_head(spec), spec)


def _name(head: bytes, spec: Path) -> str:
    return peek_stack_name(head) or spec.stem


def _from_spec(spec: Path, said: str) -> str:
    """What the spec says, a path as from here: in the spec it is as from the spec's own folder."""
    return said if is_url(said) else str(spec.parent / said)


def _spec(spec: str | Path | None, environment: Mapping[str, str], *, needed: bool) -> Path | None:
    named = spec or environment.get(SPEC_VARIABLE)
    if named:
        try:
            reject_url(str(named))
        except UrlError as error:
            by = "" if spec else f", and {SPEC_VARIABLE} names it"
            raise UsageError("The spec is not a file of this machine", f"{error}{by}.") from None
        path = Path(named)
        return _in_directory(path, needed=True) if os.path.isdir(path) else path  # noqa: PTH112 - Path.is_dir raises for long names
    return _in_directory(Path(), needed=needed)


def _in_directory(directory: Path, *, needed: bool) -> Path | None:
    for name in DEFAULT_SPEC_NAMES:
        if (directory / name).is_file():
            return directory / name
    specs = find_specs(directory)
    if len(specs) == 1:
        return specs[0]
    if needed:
        raise UsageError.of([_no_spec(directory, tuple(specs))])
    return None


def find_specs(directory: Path) -> list[Path]:
    """The YAML files in ``directory`` that have a top-level ``clusters:``, sorted by name."""
    files = (
        sorted(path for path in directory.iterdir() if path.suffix in _SUFFIXES and path.is_file()) if directory.is_dir() else []
    )
    return [path for path in files if _CLUSTERS_LINE.search(_head(path))]


def _no_spec(directory: Path, specs: tuple[Path, ...]) -> Problem:
    where = "this directory" if directory == Path() else str(directory)
    if specs:
        names = ", ".join(str(path) for path in specs)
        detail = f"In {where} there are {names}. Say which one is meant, or set {SPEC_VARIABLE}."
        return Problem(summary="Several specs could be meant", detail=detail)
    detail = (
        f"There is no {' or '.join(DEFAULT_SPEC_NAMES)} in {where}, and no other YAML file with a top-level `clusters:`. "
        f"Name the spec, set {SPEC_VARIABLE}, or write one with `pragmaspec init`."
    )
    return Problem(summary="No spec found", detail=detail)


def _missing(path: Path, *, by_variable: bool) -> Problem:
    said = f"There is no {path}" + (f", which the environment variable {SPEC_VARIABLE} names." if by_variable else ".")
    if path.suffix in _SUFFIXES:
        advice = "`pragmaspec init` writes a first spec."
    else:
        advice = f"A spec is a YAML file; a plan is saved with `pragmaspec plan --out {quote(str(path))}`."
    return Problem(summary="No such file", detail=f"{said} {advice}")


def _head(path: Path) -> bytes:
    """The text of the file as far as it matters; nothing when it cannot be read: reading the spec itself says why."""
    try:
        return read_regular(path, _READ_BYTES)
    except OSError:
        return b""


LOCK_FILE = "pragmaspec.lock"
"""Beside the spec: the digests of images that were built or downloaded."""


def image_store_directory() -> Path:
    """Where images are kept: ``$PRAGMASPEC_IMAGES``, else ``pragmaspec/images`` in the user's cache folder. Raises UsageError."""
    named = os.environ.get("PRAGMASPEC_IMAGES", "")
    try:
        reject_url(named)
    except UrlError as error:
        raise UsageError("PRAGMASPEC_IMAGES is not a folder", f"{error}.") from None
    return Path(named) if named else cache_home() / "pragmaspec" / "images"


def user_config_directory() -> Path:
    """Where the user's own ``sites.yaml`` is looked for."""
    return config_home() / "pragmaspec"
