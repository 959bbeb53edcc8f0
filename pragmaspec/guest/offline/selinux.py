"""SELinux labels of files that are written into a disk from outside, where nobody else gives them any.

They follow from the image's own policy, ``/etc/selinux/<type>/contexts/files/file_contexts`` (file_contexts(5)): lines of a
regular expression, perhaps a kind of file, and the label. Without its label, a confined sshd may not read what it needs to let
anybody in.
"""

import re

SELINUX_CONFIG = "/etc/selinux/config"
_KINDS = {"file": "--", "directory": "-d", "link": "-l"}
_LITERAL = re.compile(r"(?:[^.^$?*+|\[({\\]|\\[.+-])*")
_TYPE = re.compile(r"^\s*SELINUXTYPE\s*=\s*([A-Za-z0-9_-]+)", re.MULTILINE)
_OFF = re.compile(r"^\s*SELINUX\s*=\s*disabled\b", re.MULTILINE)


def contexts_path(config: str) -> str:
    """Where the policy that ``/etc/selinux/config`` names has its labels; empty when SELinux is off."""
    found = _TYPE.search(config)
    return f"/etc/selinux/{found[1]}/contexts/files/file_contexts" if found and not _OFF.search(config) else ""


def selinux_label(path: str, contexts: str, kind: str = "file") -> str:
    """The label of ``path`` by the lines of ``contexts``; empty when it has none. The last line that matches counts."""
    label = ""
    for line in contexts.splitlines():
        words = line.split()
        if len(words) < 2 or words[0].startswith("#") or (len(words) > 2 and words[1] != _KINDS[kind]):  # noqa: PLR2004
            continue
        # Compiling thousands of expressions would take seconds; most cannot match by how they begin.
        begin = re.sub(r"\\(.)", r"\1", _begin(words[0]))
        if path.startswith(begin) and _matches(words[0], path):
            label = "" if words[-1] == "<<none>>" else words[-1]
    return label


def _begin(expression: str) -> str:
    """Text that every match begins with, perhaps less than there is."""
    found = _LITERAL.match(expression)
    if found is None or "|" in expression:
        return ""
    begin = found.group()
    # What a repetition follows need not be there.
    return re.sub(r"(\\.|[^\\])$", "", begin) if expression[len(begin) :].startswith(("?", "*", "{")) else begin


def _matches(expression: str, path: str) -> bool:
    try:
        return re.fullmatch(expression, path) is not None
    except re.error:
        return False
