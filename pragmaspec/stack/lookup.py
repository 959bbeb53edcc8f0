"""Finds records by address, or by a unique name."""

from pragmaspec.errors import UsageError
from pragmaspec.report.plan.rows import display_name
from pragmaspec.state_model import Record, State


def find_record(state: State, address: str) -> Record:
    """Return the record at ``address``, which may also be the name of a node, image or volume, or the cluster of an allocation.

    Raises UsageError for none or several.
    """
    found = state.record(address)
    if found is not None:
        return found
    named = [record for record in state.records if display_name(record.resource) == address]
    if len(named) == 1:
        return named[0]
    if named:
        choices = ", ".join(record.address for record in named)
        raise UsageError("Ambiguous name", f"{address} matches {choices}.")
    raise UsageError(
        "No such address",
        f"{address} is not recorded. `pragmaspec state list` shows all addresses. An address has the form "
        "SITE/CLUSTER/node/NAME, SITE/CLUSTER/allocation, SITE/image/DIGEST or SITE/volume/NAME.",
    )


def find_records(state: State, patterns: tuple[str, ...]) -> tuple[Record, ...]:
    """Return the records that match ``patterns``: addresses, names, or patterns with ``*``. Raises UsageError for no match."""
    from fnmatch import fnmatchcase

    found: dict[str, Record] = {}
    for pattern in patterns:
        if "*" not in pattern:
            record = find_record(state, pattern)
            found[record.address] = record
            continue
        matching = [record for record in state.records if fnmatchcase(record.address, pattern)]
        if not matching:
            raise UsageError("No such address", f"No recorded address matches {pattern}.")
        found.update((record.address, record) for record in matching)
    return tuple(found[address] for address in sorted(found))
