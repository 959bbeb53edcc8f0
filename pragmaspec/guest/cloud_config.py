"""Merging the user's cloud-config with ours.

Mappings are merged key by key and lists are joined, ours first. Of single values the user's wins, except for those the guest
contract rests on (``fixed``). ``write_files`` is joined the other way round: the last one to
write a file wins, and that has to be us.
"""

from collections.abc import Mapping

from pragmaspec.guest.yaml_text import Yaml


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
