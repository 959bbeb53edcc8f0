"""Missing is not absent: what answers may be another site, and a listing from which much is gone is doubted. Pure."""

from collections import Counter
from collections.abc import Mapping
from collections.abc import Set as AbstractSet

from pragmaspec.errors import Problem
from pragmaspec.planning.observed import Observations
from pragmaspec.state_model import SITE_OUTPUT, Record, State

MAX_MISSING_SHARE = 0.3
MAX_MISSING = 3
"""More than this many, and more than this share of what is ready at a site, is not believed."""


def missing_problems(state: State, gone: AbstractSet[str]) -> tuple[Problem, ...]:
    """One problem for each site from which too much of what is recorded as ready has vanished at once."""
    ready = Counter(record.resource.site for record in state.records if record.status == "ready")
    missing = Counter(record.resource.site for record in state.records if record.status == "ready" and record.address in gone)
    return tuple(
        Problem(
            summary="Much of a site is missing",
            detail=f"{count} of {ready[site]} objects recorded at site {site} are not in its listing. That may be true, or the "
            "site was set up anew under the same name, or what answers is another account or project. Look there first. If they "
            "are gone, say --accept-missing, and they are made again. Nothing was changed.",
        )
        for site, count in sorted(missing.items())
        if count > MAX_MISSING and count > MAX_MISSING_SHARE * ready[site]
    )


def made_at_other_site(record: Record, seen: Observations) -> bool:
    """Whether ``record`` was made at a site with another identity than the one that answered."""
    made_at = dict(record.outputs).get(SITE_OUTPUT)
    return made_at is not None and made_at != seen.identity.id


def site_identity_problems(state: State, observations: Mapping[str, Observations]) -> tuple[Problem, ...]:
    """One problem for each site that is not the one where what is recorded was made."""
    found: dict[str, Problem] = {}
    for record in state.records:
        site = record.resource.site
        seen = observations.get(site)
        if seen is not None and site not in found and made_at_other_site(record, seen):
            found[site] = Problem(
                summary="The site is another one",
                detail=f"What is recorded at site {site} was made at {dict(record.outputs)[SITE_OUTPUT]}; what answers now is "
                f"{seen.identity.title} ({seen.identity.id}). Correct the site's options or the credentials. If it is "
                "the same place set up anew, or a storage pool that was defined again, say --accept-missing: what is still there "
                "is kept, and the rest is made again. Nothing was changed.",
            )
    return tuple(found.values())
