"""SELinux labels of files written to an offline disk.

The labels are defined by the image's own policy, ``/etc/selinux/<type>/contexts/files/file_contexts`` (file_contexts(5)): lines
with a regular expression, an optional file type, and the label. Without labels, a confined sshd cannot read the files it needs
for logins.
"""

import re

SELINUX_CONFIG = "/etc/selinux/config"
_KINDS = {"file": "--", "directory": "-d", "link": "-l"}
_LITERAL = re.compile(r"(?:[^.^$?*+|\[({\\]|\\[.+-])*")
_TYPE = re.compile(r"^\s*SELINUXTYPE\s*=\s*([A-Za-z0-9_-]+)", re.MULTILINE)
_OFF = re.compile(r"^\s*SELINUX\s*=\s*disabled\b", re.MULTILINE)


def contexts_path(config: str) -> str:
    """Return the path of the file contexts of the policy in ``/etc/selinux/config``; empty if SELinux is disabled."""
    found = _TYPE.search(config)
    return f"/etc/selinux/{found[1]}/contexts/files/file_contexts" if found and not _OFF.search(config) else ""


def selinux_label(path: str, contexts: str, kind: str = "file") -> str:
    """Return the label of ``path`` according to the last matching line of ``contexts``; empty if there is none."""
    label = ""
    for line in contexts.splitlines():
        words = line.split()
        if len(words) < 2 or words[0].startswith("#") or (len(words) > 2 and words[1] != _KINDS[kind]):  # noqa: PLR2004
            continue
        # Compiling thousands of expressions would take seconds; most are ruled out by their literal prefix.
        prefix = re.sub(r"\\(.)", r"\1", _literal_prefix(words[0]))
        if path.startswith(prefix) and _matches(words[0], path):
            label = "" if words[-1] == "<<none>>" else words[-1]
    return label


def _literal_prefix(expression: str) -> str:
    """Return a prefix of every match, not necessarily the longest."""
    found = _LITERAL.match(expression)
    if found is None or "|" in expression:
        return ""
    prefix = found.group()
    # A character before a quantifier may be absent.
    return re.sub(r"(\\.|[^\\])$", "", prefix) if expression[len(prefix) :].startswith(("?", "*", "{")) else prefix


def _matches(expression: str, path: str) -> bool:
    try:
        return re.fullmatch(expression, path) is not None
    except re.error:
        return False
