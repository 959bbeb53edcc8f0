"""Guards against observations of the wrong site and against incomplete listings. Pure."""

from collections import Counter
from collections.abc import Mapping
from collections.abc import Set as AbstractSet

from pragmaspec.errors import Problem
from pragmaspec.planning.observed import Observations
from pragmaspec.state_model import SITE_OUTPUT, Record, State

MAX_MISSING = 3
MAX_MISSING_SHARE = 0.3
"""A listing is refused if more than this number and share of the ready objects of a site are missing."""


def missing_problems(state: State, gone: AbstractSet[str]) -> tuple[Problem, ...]:
    """Return one problem per site from which too many ready objects have vanished at once."""
    ready = Counter(record.resource.site for record in state.records if record.status == "ready")
    missing = Counter(record.resource.site for record in state.records if record.status == "ready" and record.address in gone)
    return tuple(
        Problem(
            summary="Too many objects are missing",
            detail=f"{count} of {ready[site]} objects recorded at site {site} are not in its listing. They may be gone, or the "
            "site was reinstalled under the same name, or the connection reaches another account or project. Check the site "
            "first. If the objects are gone, pass --accept-missing to recreate them. Nothing was changed.",
        )
        for site, count in sorted(missing.items())
        if count > MAX_MISSING and count > MAX_MISSING_SHARE * ready[site]
    )


def made_at_other_site(record: Record, seen: Observations) -> bool:
    """True if ``record`` was made at a site with another identity than the observed one."""
    made_at = dict(record.outputs).get(SITE_OUTPUT) if record.outputs else None
    return made_at is not None and made_at != seen.identity.id


def site_identity_problems(state: State, observations: Mapping[str, Observations]) -> tuple[Problem, ...]:
    """Return one problem per site whose identity differs from the recorded one."""
    found: dict[str, Problem] = {}
    for record in state.records:
        if not record.outputs:
            continue
        site = record.resource.site
        seen = observations.get(site)
        if seen is not None and site not in found and made_at_other_site(record, seen):
            found[site] = Problem(
                summary="Site identity changed",
                detail=f"The objects recorded at site {site} were created at {dict(record.outputs)[SITE_OUTPUT]}, and the site "
                f"is now {seen.identity.title} ({seen.identity.id}). Correct the site's options or the credentials. If the host "
                "was reinstalled or its storage pool was defined again, pass --accept-missing: existing objects are kept and "
                "missing ones are recreated. Nothing was changed.",
            )
    return tuple(found.values())
