"""Merging the user's cloud-config with ours.

Mappings are merged key by key and lists are joined, ours first. Of single values the user's wins, except for those the guest
contract rests on (``fixed``). ``write_files`` is joined the other way round: the last one to
write a file wins, and that has to be us.

The cloud-config a user wrote, read without giving its words a meaning: what stands plain there stays plain.

cloud-init reads YAML 1.1, where ``yes`` is true and ``0644`` is 420. Typing such words here, to write them again, could only
change them; so this reads the structure alone (the parser's events) and keeps each plain scalar as ``Verbatim`` text.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from pragmaspec.errors import SpecError
from pragmaspec.guest.cloud_init.yaml import Verbatim, Yaml


def merged_config(ours: Mapping[str, Yaml], user: Mapping[str, Yaml], fixed: Mapping[str, Yaml]) -> dict[str, Yaml]:
    """``ours`` and ``user`` as one cloud-config in which everything of ``fixed`` holds."""
    config = _mapping(ours, user)
    if "write_files" in user:
        config["write_files"] = _value(user["write_files"], ours["write_files"])
    # Ours decides the order of keys too, so that the document reads alike with and without user-data.
    return _mapping(_mapping(fixed, config), fixed)


def _mapping(base: Mapping[str, Yaml], above: Mapping[str, Yaml]) -> dict[str, Yaml]:
    return {**base, **{key: _value(base[key], value) if key in base else value for key, value in above.items()}}


def _value(base: Yaml, above: Yaml) -> Yaml:
    if isinstance(base, Mapping) and isinstance(above, Mapping):
        return _mapping(base, above)
    if isinstance(base, list) and isinstance(above, list):
        return [*base, *(item for item in above if item not in base)]
    return above


VALUES_MAX = 20_000
DEPTH_MAX = 40

_OTHER_KIND = re.compile(r"#!|## template:|#(?!cloud-config\s*$)(include|cloud-|part-handler|upstart-job)", re.MULTILINE)
_KINDS: dict[str, type] = {"bootcmd": list, "packages": list, "runcmd": list, "write_files": list, "ssh": dict, "ssh_keys": dict}
"""The keys that are merged with what pragmaspec writes there, and what each has to hold."""


def read_user_data(text: str) -> dict[str, Yaml]:
    """The cloud-config document ``text`` as mappings, lists and text; empty text is an empty document.

    Anchors, aliases and merge keys are resolved. Raises SpecError for anything else than one cloud-config document: broken YAML,
    scripts, templates, tags, repeated keys, more than 20,000 values, a list where a mapping belongs.
    """
    # 44 ms that nobody without user-data need pay.
    from ruamel.yaml import YAML  # noqa: PLC0415
    from ruamel.yaml.error import YAMLError  # noqa: PLC0415

    if _OTHER_KIND.match(text):
        raise _problem(
            f"It begins with {text.splitlines()[0]!r}. Only a cloud-config document can be merged: "
            "begin it with #cloud-config and put commands under runcmd."
        )
    try:
        document = _Reader(YAML(typ="safe", pure=True).parse(text)).document()
    except YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        reason = getattr(error, "problem", None) or "it holds a character that YAML does not allow"
        raise _problem(f"{reason}.", mark.line + 1 if mark else None) from None
    for key, kind in _KINDS.items():
        if key in document and document[key] == "":
            del document[key]
        if key in document and not isinstance(document[key], kind):
            raise _problem(f"{key!r} has to hold {'a list' if kind is list else 'a mapping'}.")
    return document


class _Reader:
    """Builds values from the parser's events."""

    def __init__(self, events: Iterator[Any]) -> None:
        self._events = events
        self._anchors: dict[str, tuple[Yaml, int]] = {}
        self._values = 0

    def document(self) -> dict[str, Yaml]:
        starts = (event for event in self._events if type(event).__name__ == "DocumentStartEvent")
        found = [self._value(next(self._events), 0) for _ in starts]
        document = found[0] if found else ""
        if len(found) > 1:
            raise _problem("It holds more than one document.")
        if document == "":
            return {}
        if not isinstance(document, dict):
            raise _problem("It is not a mapping of cloud-config keys.")
        return document

    def _value(self, event: Any, depth: int) -> Yaml:  # noqa: ANN401 - ruamel publishes no types for its events
        line = event.start_mark.line + 1
        kind = type(event).__name__
        if kind == "AliasEvent":
            return self._alias(event.anchor, line)
        if event.tag is not None:
            raise _problem(f"The tag {event.tag} cannot be merged. Write the value without it.", line)
        before = self._values
        self._count(1, depth, line)
        if kind == "ScalarEvent":
            plain = event.style is None and "\n" not in event.value
            value: Yaml = Verbatim(event.value) if plain else event.value
        elif kind == "SequenceStartEvent":
            value = [self._value(item, depth + 1) for item in self._until("SequenceEndEvent")]
        else:
            value = self._mapping(depth)
        if event.anchor:
            self._anchors[event.anchor] = (value, self._values - before)
        return value

    def _mapping(self, depth: int) -> dict[str, Yaml]:
        found: dict[str, Yaml] = {}
        merged: list[Yaml] = []
        for event in self._until("MappingEndEvent"):
            line = event.start_mark.line + 1
            key = self._value(event, depth + 1)
            if not isinstance(key, str):
                raise _problem("A list or mapping cannot be a key.", line)
            value = self._value(next(self._events), depth + 1)
            if isinstance(key, Verbatim) and key == "<<":
                merged.extend(value if isinstance(value, list) else [value])
            elif key in found:
                raise _problem(f"The key {key!r} is repeated.", line)
            else:
                found[key] = value
        for source in merged:
            if not isinstance(source, dict):
                raise _problem("The merge key << takes a mapping or a list of mappings.")
            found = {**source, **found}
        return found

    def _alias(self, anchor: str, line: int) -> Yaml:
        if anchor not in self._anchors:
            raise _problem(f"The alias *{anchor} names nothing that stands before it.", line)
        value, values = self._anchors[anchor]
        self._count(values, 0, line)
        return value

    def _until(self, end: str) -> Iterator[Any]:
        for event in self._events:
            if type(event).__name__ == end:
                return
            yield event

    def _count(self, values: int, depth: int, line: int) -> None:
        self._values += values
        if self._values > VALUES_MAX or depth > DEPTH_MAX:
            raise _problem(f"It is too large: at most {VALUES_MAX} values, {DEPTH_MAX} levels deep.", line)


def _problem(reason: str, line: int | None = None) -> SpecError:
    place = f"In its line {line}: " if line else ""
    return SpecError("The user-data cannot be merged", f"{place}{reason}")
