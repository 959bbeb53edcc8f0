"""Looks up a few values of a spec without parsing all of it: stack name, state, presence of clusters, paths of local disks.

Commands that only need the recorded state must be quick, and importing the YAML parser alone takes longer than they do. So the
usual forms of ``stack:`` and ``state:`` are found by regular expressions. Any other form, such as flow style, an anchor or an
indented document, is parsed as YAML.
"""

import re
from pathlib import Path

from pragmaspec.files import read_regular
from pragmaspec.frozen import Frozen

PEEK_LIMIT_BYTES = 4 * 2**20
"""Number of bytes of a spec that are examined."""
SAVED_PLAN_KIND = "pragmaspec-plan"
"""The kind of a saved plan, which begins like SAVED_PLAN_BEGIN."""
SAVED_PLAN_BEGIN = f'{{"kind":"{SAVED_PLAN_KIND}"'.encode()

_VALUE = rb"""(?:"(?P<double>[^"\n]*)"|'(?P<single>[^'\n]*)'|(?P<plain>[^\s"'{}\[\],&*!|>#][^\s,}]*))"""
_END = rb"""[ \t]*(?:[ \t]#.*)?\r?$"""
_KEY = rb"""^(?:state|"state"|'state')[ \t]*:"""
_LINE = re.compile(_KEY + rb"[ \t]+" + _VALUE + _END, re.MULTILINE)
_FLOW = re.compile(_KEY + rb"[ \t]+\{(?P<inside>[^{}\n]*)\}" + _END, re.MULTILINE)
_BLOCK = re.compile(_KEY + rb"[ \t]*(?:#.*)?\r?\n(?P<inside>(?:(?:[ \t]+.*|[ \t]*#.*)?\r?\n|[ \t]+.*\Z)+)", re.MULTILINE)
_URL = re.compile(rb"""(?:^|[,{\s])["']?url["']?[ \t]*:[ \t]+""" + _VALUE + rb"""(?=[ \t]*(?:[,}]|\r?$|[ \t]#))""", re.MULTILINE)
_URL_KEY = re.compile(rb"""url["']?[ \t]*:""")
_ENCRYPT = re.compile(rb"""(?:^|[,{\s])["']?encrypt["']?[ \t]*:[ \t]+(true|false)\b""")
_STACK_NAME = re.compile("[A-Za-z0-9][A-Za-z0-9_.-]*")
_STACK = re.compile(
    rb"""^(?:stack|"stack"|'stack')[ \t]*:[ \t]*(["']?)([A-Za-z0-9][A-Za-z0-9_.-]*)\1[ \t]*(?:#.*)?\r?$""", re.MULTILINE
)
_CLUSTERS = re.compile(rb"""^(?:clusters|"clusters"|'clusters')[ \t]*:""", re.MULTILINE)
_IMAGE_PATH = re.compile(r"""\b(?:source|kernel|initrd)["']?[ \t]*:[ \t]*(?:"([^"\n]+)"|'([^'\n]+)'|([^\s"'][^,}\n]*))""")
_EXPLICIT_KEY = re.compile(rb"^\?[ \t]", re.MULTILINE)
_FIRST_LINE = re.compile(rb"^(?![ \t]*(?:#|\r?$|%|---[ \t]*\r?$)).+", re.MULTILINE)
_TRUE, _FALSE = ("true", "True", "TRUE"), ("false", "False", "FALSE")
_NULL = ("null", "~")


class StateSetting(Frozen, frozen=True):
    """The value of ``state:``: a path or URL, and whether the state is encrypted; empty and None where it is not set."""

    url: str = ""
    encrypt: bool | None = None


class SpecPeek:
    """The beginning of a spec. Text that cannot be parsed has no values; the loader reports the reason."""

    def __init__(self, text: bytes) -> None:
        self._text = text

    @property
    def has_clusters(self) -> bool:
        """True if there is a top-level ``clusters:`` on a line of its own, as in every spec in block style."""
        return _CLUSTERS.search(self._text) is not None

    @property
    def stack_name(self) -> str | None:
        """The value of ``stack:``, if it is a valid name."""
        line = _STACK.search(self._text)
        if line:
            return line[2].decode()
        value = self._parse("stack") if self._is_unusual(b"stack") else None
        return value if isinstance(value, str) and _STACK_NAME.fullmatch(value) else None

    @property
    def state(self) -> StateSetting:
        """The value of ``state:``."""
        if self._is_unusual(b"state"):
            return _parsed_state(self._parse("state"))
        line = _LINE.search(self._text)
        if line:
            text = _matched_value(line)
            return StateSetting(url="" if line["plain"] is not None and text in _NULL else text)
        block = _FLOW.search(self._text) or _BLOCK.search(self._text)
        if block is None:
            return StateSetting()
        inside = re.sub(rb"(?m)(?:^|[ \t])#.*$", b"", block["inside"])
        url, encrypt = _URL.search(inside), _ENCRYPT.search(inside)
        return StateSetting(url=_matched_value(url) if url else "", encrypt=encrypt[1] == b"true" if encrypt else None)

    @property
    def image_paths(self) -> frozenset[str]:
        """The local paths after ``source:``, ``kernel:`` and ``initrd:``; possibly also values of other keys of these names."""
        values = (
            next(group for group in match.groups() if group is not None).split(" #")[0].strip()
            for match in _IMAGE_PATH.finditer(self._text.decode(errors="replace"))
        )
        return frozenset(path for path in values if "://" not in path)

    def _parse(self, key: str) -> object:
        """Parse the text, and return the value of a top-level ``key`` as dictionaries, lists and strings; None if absent."""
        from pragmaspec.errors import SpecError  # noqa: PLC0415 - for unusual forms only
        from pragmaspec.spec.yaml.parser import read_document  # noqa: PLC0415
        from pragmaspec.spec.yaml.tree import plain_data  # noqa: PLC0415

        try:
            node = read_document(self._text, "").root.items.get(key)
        except SpecError:
            return None
        return None if node is None else plain_data(node)

    def _is_unusual(self, key: bytes) -> bool:
        """True if ``key`` may be at the top level in a form that needs the YAML parser."""
        if key not in self._text:
            return False
        first = _FIRST_LINE.search(self._text)
        if (first and (first[0][:1] in b"{ " or first[0].startswith(b"--- "))) or _EXPLICIT_KEY.search(self._text):
            return True
        line = re.search(rb"""(?m)^(?:%b|"%b"|'%b')[ \t]*:""" % (key, key, key), self._text)
        return line is not None and _needs_parser(key, self._text[line.start() :])


def peek(spec: Path) -> SpecPeek:
    """Read the beginning of ``spec``; nothing if it cannot be read, which the loader reports."""
    try:
        return SpecPeek(read_regular(spec, PEEK_LIMIT_BYTES))
    except OSError:
        return SpecPeek(b"")


def _needs_parser(key: bytes, rest: bytes) -> bool:
    """True if ``rest``, which begins with ``key``, has a value in an unusual form."""
    usual = (_STACK,) if key == b"stack" else (_LINE, _FLOW, _BLOCK)
    found = next((match for form in usual if (match := form.match(rest))), None)
    if found is None or b"\\" in found[0] or b"&" in found[0] or b"*" in found[0]:
        return True
    if "inside" in found.groupdict() and _URL_KEY.search(found["inside"]) and not _URL.search(found["inside"]):
        return True  # such as an unquoted value with blanks
    return _continues(rest[found.end() :].lstrip(b"\r\n"))


def _continues(after: bytes) -> bool:
    """True if a value continues in ``after``: the next line that is not a comment is indented."""
    line = next((line for line in after.splitlines() if line.strip() and not line.lstrip().startswith(b"#")), b"")
    return line[:1] in b" \t" and line != b""


def _parsed_state(value: object) -> StateSetting:
    if isinstance(value, dict):
        encrypt = value.get("encrypt")
        known = isinstance(encrypt, str) and encrypt in {*_TRUE, *_FALSE}
        return StateSetting(url=_parsed_url(value.get("url")), encrypt=encrypt in _TRUE if known else None)
    return StateSetting(url=_parsed_url(value))


def _parsed_url(value: object) -> str:
    """``value`` if it is a string other than an unquoted ``null``; else an empty string."""
    return "" if not isinstance(value, str) or (type(value) is not str and value in _NULL) else str(value)


def _matched_value(found: re.Match[bytes]) -> str:
    return next(value for value in found.group("double", "single", "plain") if value is not None).decode(errors="replace")
