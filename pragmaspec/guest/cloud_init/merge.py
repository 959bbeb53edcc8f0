"""Merges the user's cloud-config with pragmaspec's.

Mappings are merged key by key, and lists are joined with ours first. Of other values the user's wins, except for the values that
the guest contract depends on (``fixed``). In ``write_files`` ours come last, because cloud-init keeps the last version of a file.
"""

from collections.abc import Mapping

import msgspec

from pragmaspec.guest.cloud_init.yaml import Yaml

_HEADER = "#cloud-config\n"


def decode_user_data(text: str) -> dict[str, Yaml]:
    """Return the cloud-config in ``text``, which is empty, or a ``#cloud-config`` line and JSON, as planning writes it."""
    document: dict[str, Yaml] = msgspec.json.decode(text.removeprefix(_HEADER)) if text else {}
    return document


def merged_config(ours: Mapping[str, Yaml], user: Mapping[str, Yaml], fixed: Mapping[str, Yaml]) -> dict[str, Yaml]:
    """Return ``ours`` and ``user`` merged into one cloud-config that contains all values of ``fixed``."""
    config = _mapping(ours, user)
    if "write_files" in user:
        config["write_files"] = _value(user["write_files"], ours["write_files"])
    # Ours also determines the order of keys, so that it is the same with and without user-data.
    return _mapping(_mapping(fixed, config), fixed)


def _mapping(base: Mapping[str, Yaml], above: Mapping[str, Yaml]) -> dict[str, Yaml]:
    return {**base, **{key: _value(base[key], value) if key in base else value for key, value in above.items()}}


def _value(base: Yaml, above: Yaml) -> Yaml:
    if isinstance(base, Mapping) and isinstance(above, Mapping):
        return _mapping(base, above)
    if isinstance(base, list) and isinstance(above, list):
        return [*base, *(item for item in above if item not in base)]
    return above
