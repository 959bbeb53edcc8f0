"""Findings in cloud-init user-data: keys and values that cloud-init does not take, and keys that pragmaspec sets itself.

An error is a value that makes a module of cloud-init fail. A warning is something that cloud-init ignores or converts, and what
does not have the effect that it seems to have.
"""

from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby
from typing import Any

from pragmaspec.spec.cloud_init.schema import SchemaViolation, deprecations_of, known_keys, violations_of
from pragmaspec.spec.findings import Finding, closest_match, listed
from pragmaspec.spec.yaml.tree import TreePath

_HOST_KEYS = "The host keys of nodes are known before their first boot and are checked at each login"
_NAMES = "Nodes are named after their cluster (`CLUSTER-frontend`, `CLUSTER-compute-N`)"
_HOSTS = "pragmaspec writes /etc/hosts with the names of all nodes"
OVERRIDDEN_KEYS: Mapping[str, tuple[object, str]] = {
    "hostname": (None, f"{_NAMES}. Leave it out, or rename the cluster."),
    "fqdn": (None, f"{_NAMES}. Leave it out; `private: {{domain: …}}` of the cluster sets the domain."),
    "prefer_fqdn_over_hostname": (False, f"{_NAMES}, without the domain. Leave it out."),
    "preserve_hostname": (False, f"{_NAMES}. Leave it out."),
    "manage_etc_hosts": (False, f"{_HOSTS}. Leave it out, and write names of other machines with `bootcmd`."),
    "disable_root": (False, "pragmaspec logs in as root, with keys alone. Leave it out, and make further users with `users`."),
    "disable_root_opts": (None, "It depends on `disable_root`, which is false because pragmaspec logs in as root. Leave it out."),
    "ssh_deletekeys": (True, f"{_HOST_KEYS}. Leave it out."),
    "ssh_genkeytypes": (None, f"{_HOST_KEYS}, so cloud-init makes none. Leave it out, or write other types in `ssh_keys`."),
    "network": (
        None,
        "cloud-init reads no network settings from user-data. Write `networks` and `private` of the cluster instead.",
    ),
}
"""Keys without effect: the value that they have in any case (None: it depends on the node), and the reason."""
_OUR_HOST_KEYS = ("ed25519_private", "ed25519_public")
_PASSWORDS = ("chpasswd", "list")
"""A list of passwords, whose lines are never quoted."""
_COMMANDS = ("bootcmd", "runcmd")
_BOOLEANS = frozenset({"1", "0", "yes", "no", "on", "off", "true", "false"})
_TYPES = {
    "array": "a list",
    "object": "a mapping",
    "string": "a text",
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
    """The findings in the cloud-config ``document``, which is at ``at`` of its file.

    ``merged`` are the documents that nodes get of which this is a part: a key that is missing here may be in another part.
    """
    known = known_keys()
    found: list[Finding] = []
    for key, value in document.items():
        found += _overruled(key, value, at)
        if key not in known:
            if key not in OVERRIDDEN_KEYS:
                found.append(_unknown((*at, key), key, known))
            continue
        faults = violations_of(key, value)
        wholes = [whole[key] for whole in merged]
        if faults and wholes and not any(violations_of(key, whole) for whole in wholes):
            faults = tuple(fault for fault in faults if fault.rule != "required")
        found += _fault_findings(faults, value, at)
        if not faults:
            found += (
                Finding(
                    (*at, *each.path),
                    "Deprecated in cloud-init",
                    f"cloud-init advises against {_named(each.path)}"
                    f"{f' since {each.since}' if each.since else ''}. {each.advice}".rstrip(),
                    at_key=isinstance(each.path[-1], str),
                    severity="warning",
                )
                for each in deprecations_of(key, value)
            )
    return tuple(found)


def _overruled(key: str, value: object, at: TreePath) -> Iterator[Finding]:
    if key in OVERRIDDEN_KEYS and (OVERRIDDEN_KEYS[key][0] is None or value != OVERRIDDEN_KEYS[key][0]):
        yield _no_effect((*at, key), OVERRIDDEN_KEYS[key][1])
    if key == "ssh_keys" and isinstance(value, Mapping):
        for name in _OUR_HOST_KEYS:
            if name in value:
                yield _no_effect((*at, key, name), f"{_HOST_KEYS}. Leave it out; keys of other types are kept.")


def _no_effect(path: TreePath, reason: str) -> Finding:
    detail = f"`{path[-1]}` of user-data has no effect here. {reason}"
    return Finding(path, "Overruled user-data", detail, at_key=True, severity="warning")


def _fault_findings(faults: Iterable[SchemaViolation], value: object, at: TreePath) -> Iterator[Finding]:
    for path, group in groupby(sorted(faults, key=lambda fault: _order(fault.path)), key=lambda fault: fault.path):
        same = tuple(group)
        values = [fault for fault in same if fault.rule in _VALUE_RULES]
        missing = [name for fault in same if fault.rule == "required" for name in fault.names]
        if values:
            yield _wrong_value(values, _value_at(value, path[1:]), at)
        if missing:
            detail = f"cloud-init needs {listed(dict.fromkeys(missing), 'or')} in {_named(path)}. Write it."
            yield Finding((*at, *path), "Key missing in user-data", detail, at_key=isinstance(path[-1], str))
        for fault in same:
            if fault.rule == "additionalProperties":
                for name in fault.names:
                    yield _unknown((*at, *path, name), name, fault.known, f" in {_named(path)}")
            elif fault.rule not in {*_VALUE_RULES, "required"}:
                yield _other(fault, _value_at(value, path[1:]), at)


def _wrong_value(faults: Iterable[SchemaViolation], value: object, at: TreePath) -> Finding:
    faults = tuple(faults)
    path = faults[0].path
    types = [kind for fault in faults for kind in fault.types]
    options = [option for fault in faults for option in fault.options]
    wants = [_TYPES[kind] for kind in dict.fromkeys(types)]
    wants += [_spelled(option) for option in dict.fromkeys(options)]
    wants += [f"a text of the form `{fault.limit}`" for fault in faults if fault.rule == "pattern"]
    wants += [f"a {fault.limit} such as 2026-12-31" for fault in faults if fault.rule == "format"]
    wants += [f"a number of at least {fault.limit}" for fault in faults if fault.rule == "minimum"]
    wants += [f"a number of at most {fault.limit}" for fault in faults if fault.rule == "maximum"]
    detail = (
        f"cloud-init wants {_or(wants)} in {_named(path)}, and this is {_kind(value, types)}.{_advice(value, types, options)}"
    )
    tolerated = _tolerated(path, value, types)
    shown = path[:2] if path[:2] == _PASSWORDS else path
    return Finding((*at, *shown), "Wrong value in user-data", detail, severity="warning" if tolerated else "error")


def _tolerated(path: TreePath, value: object, types: list[str]) -> bool:
    """True if cloud-init converts ``value``: a number in a command to text, or text to a boolean or an integer."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return path[0] in _COMMANDS and len(path) == len(("key", "command", "word")) and "string" in types
    if isinstance(value, str):
        return ("boolean" in types and value.lower() in _BOOLEANS) or ("integer" in types and value.isdecimal())
    return False


def _other(fault: SchemaViolation, value: object, at: TreePath) -> Finding:
    place = (*at, *fault.path)
    if fault.rule in _EMPTY_RULES and not value:
        detail = f"{_named(fault.path)} is empty, which cloud-init does not expect. Leave it out, or write something."
        return Finding(place, "Empty value in user-data", detail, severity="warning")
    if fault.rule == "uniqueItems":
        detail = f"{_named(fault.path)} has an entry twice, which cloud-init does not expect. Keep one of them."
        return Finding(place, "Entry repeated in user-data", detail, severity="warning")
    limits = {"minItems": "at least {} entries", "maxItems": "at most {} entries", "minProperties": "at least {} keys"}
    if fault.rule in limits:
        detail = f"cloud-init wants {limits[fault.rule].format(fault.limit)} in {_named(fault.path)}. Write them."
    else:
        detail = (
            f"cloud-init's schema does not allow {_named(fault.path)} to be so (`{fault.rule}`). Compare cloud-init's manual."
        )
    return Finding(place, "Wrong value in user-data", detail)


def _unknown(path: TreePath, name: str, known: Iterable[str], place: str = "") -> Finding:
    near = closest_match(name, known)
    advice = f"Did you mean `{near}`?" if near else "Leave it out, or compare cloud-init's manual."
    detail = f"cloud-init has no key `{name}`{place}, and ignores it. {advice}"
    return Finding(path, "Unknown key in user-data", detail, at_key=True, severity="warning")


def _advice(value: object, types: list[str], options: list[Any]) -> str:
    if value is None:
        return " Write one, or leave the key out."
    if isinstance(value, bool | int | float) and "string" in types:
        return " Put it in quotes."
    if isinstance(value, str) and (near := closest_match(value, [option for option in options if isinstance(option, str)])):
        return f" Did you mean `{near}`?"
    return ""


def _kind(value: object, types: list[str]) -> str:
    """The kind of ``value`` and never the value, which may be a secret."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return "a text" if types and "string" not in types else "another text"
    kinds = {type(None): "empty", dict: "a mapping", list: "a list"}
    return kinds.get(type(value), "a number")


def _spelled(option: object) -> str:
    return f"`{option}`" if isinstance(option, str) else str(option).lower()


def _or(words: list[str]) -> str:
    return " or ".join([", ".join(words[:-1]), words[-1]]) if len(words) > 1 else words[0]


def _named(path: TreePath) -> str:
    """``path`` as people write it: `users[0].name`."""
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
