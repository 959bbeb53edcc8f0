"""Findings in cloud-init user-data: violations of cloud-init's schema, and keys that pragmaspec overrides.

A value that makes a cloud-init module fail is an error. A key or value that cloud-init ignores or converts, or that has no
effect, is a warning.
"""

from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby
from typing import Any

from pragmaspec.spec.cloud_init.schema import SchemaViolation, deprecations_of, known_keys, violations_of
from pragmaspec.spec.findings import Finding, listed
from pragmaspec.spec.yaml.tree import TreePath
from pragmaspec.text import did_you_mean

_HOST_KEYS = "The host keys of nodes are known before their first boot and are checked at each login"
_NAMES = "Nodes are named after their cluster (`CLUSTER-frontend`, `CLUSTER-compute-N`)"
_HOSTS = "pragmaspec writes /etc/hosts with the names of all nodes"
OVERRIDDEN_KEYS: Mapping[str, tuple[object, str]] = {
    "hostname": (None, f"{_NAMES}. Remove it, or rename the cluster."),
    "fqdn": (None, f"{_NAMES}. Remove it; `private: {{domain: …}}` of the cluster sets the domain."),
    "prefer_fqdn_over_hostname": (False, f"{_NAMES}, without the domain. Remove it."),
    "preserve_hostname": (False, f"{_NAMES}. Remove it."),
    "manage_etc_hosts": (False, f"{_HOSTS}. Remove it, and add names of other machines with `bootcmd`."),
    "disable_root": (False, "pragmaspec logs in as root, with keys only. Remove it, and create other users with `users`."),
    "disable_root_opts": (None, "It depends on `disable_root`, which is false because pragmaspec logs in as root. Remove it."),
    "ssh_deletekeys": (True, f"{_HOST_KEYS}. Remove it."),
    "ssh_genkeytypes": (None, f"{_HOST_KEYS}, so cloud-init generates none. Remove it, or write other types in `ssh_keys`."),
    "network": (
        None,
        "cloud-init ignores network settings in user-data. Write `networks` and `private` of the cluster instead.",
    ),
}
"""Keys without effect: their fixed value (None: it depends on the node), and the reason."""
_OUR_HOST_KEYS = ("ed25519_private", "ed25519_public")
_PASSWORDS = ("chpasswd", "list")
"""The path of a list of passwords, whose lines are never shown."""
_COMMANDS = ("bootcmd", "runcmd")
_BOOLEANS = frozenset({"1", "0", "yes", "no", "on", "off", "true", "false"})
_TYPES = {
    "array": "a list",
    "object": "a mapping",
    "string": "a string",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "null": "nothing",
}
_VALUE_RULES = ("type", "enum", "pattern", "format", "minimum", "maximum")
_EMPTY_RULES = ("minItems", "minProperties", "minLength")


def user_data_findings(
    document: Mapping[str, Any], at: TreePath, merged: Iterable[Mapping[str, Any]] = ()
) -> tuple[Finding, ...]:
    """Return the findings in the cloud-config ``document``, which is at the path ``at`` of its file.

    ``merged`` are the complete documents of nodes that contain this one: a required key may be in another part of them.
    """
    known = known_keys()
    found: list[Finding] = []
    for key, value in document.items():
        found += _overridden(key, value, at)
        if key not in known:
            if key not in OVERRIDDEN_KEYS:
                found.append(_unknown((*at, key), key, known))
            continue
        violations = violations_of(key, value)
        complete = [whole[key] for whole in merged]
        if violations and complete and not any(violations_of(key, whole) for whole in complete):
            violations = tuple(violation for violation in violations if violation.rule != "required")
        found += _violation_findings(violations, value, at)
        if not violations:
            found += (
                Finding(
                    (*at, *each.path),
                    "Deprecated in cloud-init",
                    f"{_named(each.path)} is deprecated in cloud-init"
                    f"{f' since {each.since}' if each.since else ''}. {each.advice}".rstrip(),
                    at_key=isinstance(each.path[-1], str),
                    severity="warning",
                )
                for each in deprecations_of(key, value)
            )
    return tuple(found)


def _overridden(key: str, value: object, at: TreePath) -> Iterator[Finding]:
    if key in OVERRIDDEN_KEYS and (OVERRIDDEN_KEYS[key][0] is None or value != OVERRIDDEN_KEYS[key][0]):
        yield _no_effect((*at, key), OVERRIDDEN_KEYS[key][1])
    if key == "ssh_keys" and isinstance(value, Mapping):
        for name in _OUR_HOST_KEYS:
            if name in value:
                yield _no_effect((*at, key, name), f"{_HOST_KEYS}. Remove it; keys of other types are kept.")


def _no_effect(path: TreePath, reason: str) -> Finding:
    detail = f"`{path[-1]}` in user-data has no effect. {reason}"
    return Finding(path, "User-data without effect", detail, at_key=True, severity="warning")


def _violation_findings(violations: Iterable[SchemaViolation], value: object, at: TreePath) -> Iterator[Finding]:
    for path, group in groupby(
        sorted(violations, key=lambda violation: _order(violation.path)), key=lambda violation: violation.path
    ):
        same = tuple(group)
        values = [violation for violation in same if violation.rule in _VALUE_RULES]
        missing = [name for violation in same if violation.rule == "required" for name in violation.names]
        if values:
            yield _invalid_value(values, _value_at(value, path[1:]), at)
        if missing:
            detail = f"cloud-init requires {listed(dict.fromkeys(missing), 'or')} in {_named(path)}. Add it."
            yield Finding((*at, *path), "Key missing in user-data", detail, at_key=isinstance(path[-1], str))
        for violation in same:
            if violation.rule == "additionalProperties":
                for name in violation.names:
                    yield _unknown((*at, *path, name), name, violation.known, f" in {_named(path)}")
            elif violation.rule not in {*_VALUE_RULES, "required"}:
                yield _other_violation(violation, _value_at(value, path[1:]), at)


def _invalid_value(violations: Iterable[SchemaViolation], value: object, at: TreePath) -> Finding:
    violations = tuple(violations)
    path = violations[0].path
    types = [kind for violation in violations for kind in violation.types]
    options = [option for violation in violations for option in violation.options]
    expected = [_TYPES[kind] for kind in dict.fromkeys(types)]
    expected += [_spelled(option) for option in dict.fromkeys(options)]
    expected += [f"a string that matches `{violation.limit}`" for violation in violations if violation.rule == "pattern"]
    expected += [f"a {violation.limit} such as 2026-12-31" for violation in violations if violation.rule == "format"]
    expected += [f"a number of at least {violation.limit}" for violation in violations if violation.rule == "minimum"]
    expected += [f"a number of at most {violation.limit}" for violation in violations if violation.rule == "maximum"]
    detail = (
        f"cloud-init expects {_or(expected)} in {_named(path)}, but this is {_kind(value, types)}."
        f"{_advice(value, types, options)}"
    )
    tolerated = _tolerated(path, value, types)
    shown = path[:2] if path[:2] == _PASSWORDS else path
    return Finding((*at, *shown), "Invalid value in user-data", detail, severity="warning" if tolerated else "error")


def _tolerated(path: TreePath, value: object, types: list[str]) -> bool:
    """True if cloud-init converts ``value``: a number in a command to a string, or a string to a boolean or integer."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return path[0] in _COMMANDS and len(path) == len(("key", "command", "word")) and "string" in types
    if isinstance(value, str):
        return ("boolean" in types and value.lower() in _BOOLEANS) or ("integer" in types and value.isdecimal())
    return False


def _other_violation(violation: SchemaViolation, value: object, at: TreePath) -> Finding:
    place = (*at, *violation.path)
    if violation.rule in _EMPTY_RULES and not value:
        detail = f"{_named(violation.path)} is empty, which cloud-init does not expect. Remove it, or add a value."
        return Finding(place, "Empty value in user-data", detail, severity="warning")
    if violation.rule == "uniqueItems":
        detail = f"{_named(violation.path)} contains an entry twice, which cloud-init does not expect. Keep one of them."
        return Finding(place, "Duplicate entry in user-data", detail, severity="warning")
    limits = {"minItems": "at least {} entries", "maxItems": "at most {} entries", "minProperties": "at least {} keys"}
    if violation.rule in limits:
        detail = f"cloud-init expects {limits[violation.rule].format(violation.limit)} in {_named(violation.path)}. Add them."
    else:
        detail = f"{_named(violation.path)} violates `{violation.rule}` of cloud-init's schema. See cloud-init's documentation."
    return Finding(place, "Invalid value in user-data", detail)


def _unknown(path: TreePath, name: str, known: Iterable[str], place: str = "") -> Finding:
    advice = did_you_mean(name, known, "Remove it, or see cloud-init's documentation.", quote="`")
    detail = f"cloud-init ignores the unknown key `{name}`{place}. {advice}"
    return Finding(path, "Unknown key in user-data", detail, at_key=True, severity="warning")


def _advice(value: object, types: list[str], options: list[Any]) -> str:
    if value is None:
        return " Write one, or remove the key."
    if isinstance(value, bool | int | float) and "string" in types:
        return " Put it in quotes."
    if isinstance(value, str):
        return f" {did_you_mean(value, [each for each in options if isinstance(each, str)], quote='`')}".rstrip()
    return ""


def _kind(value: object, types: list[str]) -> str:
    """Return the type of ``value``, never the value itself, which may be a secret."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return "a string" if types and "string" not in types else "another string"
    kinds = {type(None): "empty", dict: "a mapping", list: "a list"}
    return kinds.get(type(value), "a number")


def _spelled(option: object) -> str:
    return f"`{option}`" if isinstance(option, str) else str(option).lower()


def _or(words: list[str]) -> str:
    return " or ".join([", ".join(words[:-1]), words[-1]]) if len(words) > 1 else words[0]


def _named(path: TreePath) -> str:
    """Return ``path`` in the form `users[0].name`."""
    text = str(path[0])
    for step in path[1:]:
        text += f"[{step}]" if isinstance(step, int) else f".{step}"
    return f"`{text}`"


def _value_at(value: Any, path: TreePath) -> Any:  # noqa: ANN401 - a document's data
    for step in path:
        value = value[step]
    return value


def _order(path: TreePath) -> tuple[tuple[int, str], ...]:
    return tuple((step, "") if isinstance(step, int) else (-1, step) for step in path)
