"""The spec's ``stack:`` and ``state:``, found without reading the whole spec where they are written as usual. Pure.

Commands that only need the state must be quick, so the usual forms are found by their lines. Any other form, such as flow style,
an anchor, or an indented document, is read as YAML.
"""

import re

from pragmaspec.frozen import Frozen

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


class StateLine(Frozen, frozen=True):
    """What the spec says about its state: ``url`` (a path or a URL), and whether to ``encrypt``; empty and None: nothing."""

    url: str = ""
    encrypt: bool | None = None


def find_state_line(spec: bytes) -> StateLine:
    """The state that the text of a spec names. Empty if the text cannot be read: reading the whole spec gives the reason."""
    if _unusual(spec, b"state"):
        return _state_of(top_level_value(spec, "state"))
    line = _LINE.search(spec)
    if line:
        text = _text(line)
        return StateLine(url="" if line["plain"] is not None and text in _NOTHING else text)
    block = _FLOW.search(spec) or _BLOCK.search(spec)
    if block is None:
        return StateLine()
    inside = re.sub(rb"(?m)(?:^|[ \t])#.*$", b"", block["inside"])
    url, encrypt = _URL.search(inside), _ENCRYPT.search(inside)
    return StateLine(url=_text(url) if url else "", encrypt=encrypt[1] == b"true" if encrypt else None)


def find_stack_name(spec: bytes) -> str | None:
    """The name of the stack in the text of a spec; None if there is none."""
    line = _STACK.search(spec)
    if line:
        return line[2].decode()
    value = top_level_value(spec, "stack") if _unusual(spec, b"stack") else None
    return value if isinstance(value, str) and _NAME.fullmatch(value) else None


def top_level_value(spec: bytes, key: str) -> object:
    """The value of a top-level ``key``, as dictionaries, lists and text; None when there is none or ``spec`` cannot be read."""
    from pragmaspec.errors import SpecError
    from pragmaspec.spec.reading import read_document
    from pragmaspec.spec.tree import data_of

    try:
        node = read_document(spec, "").root.items.get(key)
    except SpecError:
        return None
    return None if node is None else data_of(node)


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


def _state_of(value: object) -> StateLine:
    if isinstance(value, dict):
        url, encrypt = value.get("url"), value.get("encrypt")
        return StateLine(url=_url(url), encrypt=encrypt in _TRUE if encrypt in {*_TRUE, *_FALSE} else None)
    return StateLine(url=_url(value))


def _url(value: object) -> str:
    """``value`` when it is a text; an unquoted ``null`` is none."""
    return "" if not isinstance(value, str) or (type(value) is not str and value in _NOTHING) else str(value)


def is_url(text: str) -> bool:
    """Whether ``text`` begins with a scheme, so that it is no path."""
    return _SCHEME.match(text) is not None


def _text(found: re.Match[bytes]) -> str:
    return next(value for value in found.group("double", "single", "plain") if value is not None).decode(errors="replace")
