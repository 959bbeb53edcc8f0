"""What people call what is recorded: an address, or a name where only one thing has it."""

from pragmaspec.errors import UsageError
from pragmaspec.report.plan.rows import display_name
from pragmaspec.state_model import Record, State


def find_record(state: State, address: str) -> Record:
    """The record at ``address``; a node or image may be called by its name, an allocation by its cluster. Raises UsageError."""
    found = state.record(address)
    if found is not None:
        return found
    named = [record for record in state.records if display_name(record.resource) == address]
    if len(named) == 1:
        return named[0]
    if named:
        choices = ", ".join(record.address for record in named)
        raise UsageError("Several things have this name", f"{address} may be {choices}.")
    raise UsageError(
        "Nothing has this address",
        f"{address} is not recorded. `pragmaspec state list` shows what is; an address is written "
        "SITE/CLUSTER/node/NAME, SITE/CLUSTER/allocation or SITE/image/DIGEST.",
    )


def find_records(state: State, patterns: tuple[str, ...]) -> tuple[Record, ...]:
    """The records that each of ``patterns`` means: an address, a name, or a pattern with ``*``. Raises UsageError."""
    from fnmatch import fnmatchcase

    found: dict[str, Record] = {}
    for pattern in patterns:
        if "*" not in pattern:
            record = find_record(state, pattern)
            found[record.address] = record
            continue
        matching = [record for record in state.records if fnmatchcase(record.address, pattern)]
        if not matching:
            raise UsageError("Nothing has this address", f"No recorded address is like {pattern}.")
        found.update((record.address, record) for record in matching)
    return tuple(found[address] for address in sorted(found))
