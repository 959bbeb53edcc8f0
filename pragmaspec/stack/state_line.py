"""The spec's ``state:``, found without reading the spec as YAML: commands that only need the state must be quick. Pure."""

import re

from pragmaspec.frozen import Frozen

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:")
_VALUE = rb"""(?:"(?P<double>[^"\n]*)"|'(?P<single>[^'\n]*)'|(?P<plain>[^\s"'{}\[\],&*!|>#][^\s,}]*))"""
_END = rb"""[ \t]*(?:[ \t]#.*)?\r?$"""
_KEY = rb"""^(?:state|"state"|'state')[ \t]*:"""
_LINE = re.compile(_KEY + rb"[ \t]+" + _VALUE + _END, re.MULTILINE)
_FLOW = re.compile(_KEY + rb"[ \t]+\{(?P<inside>[^{}\n]*)\}" + _END, re.MULTILINE)
_BLOCK = re.compile(_KEY + rb"[ \t]*(?:#.*)?\r?\n(?P<inside>(?:(?:[ \t]+.*|[ \t]*#.*)?\r?\n|[ \t]+.*\Z)+)", re.MULTILINE)
_URL = re.compile(rb"""(?:^|[,{\s])["']?url["']?[ \t]*:[ \t]+""" + _VALUE)
_ENCRYPT = re.compile(rb"""(?:^|[,{\s])["']?encrypt["']?[ \t]*:[ \t]+(true|false)\b""")
_NOTHING = ("null", "~")


class StateLine(Frozen, frozen=True):
    """What the spec says about its state: ``url`` (a path or a URL), and whether to ``encrypt``; empty and None: nothing."""

    url: str = ""
    encrypt: bool | None = None


def find_state_line(spec: bytes) -> StateLine:
    """What the text of a spec says: ``state: URL`` on a line, or a block or braces with ``url`` and ``encrypt``.

    A form that this does not see is refused when the spec is read as a whole.
    """
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


def is_url(text: str) -> bool:
    """Whether ``text`` begins with a scheme, so that it is no path."""
    return _SCHEME.match(text) is not None


def _text(found: re.Match[bytes]) -> str:
    return next(value for value in found.group("double", "single", "plain") if value is not None).decode(errors="replace")
