"""Selection of sites by ``--site`` or an argument."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from pragmaspec.errors import UsageError
from pragmaspec.text import did_you_mean

if TYPE_CHECKING:
    from pragmaspec.site import Site


def select_sites(known: "Iterable[Site]", name: str | None) -> "tuple[Site, ...]":
    """Return the site ``name``, or all of ``known`` sorted by name. Raises UsageError for an unknown name."""
    sites = tuple(sorted(known, key=lambda site: site.name))
    if name is None:
        return sites
    require_site(name, [site.name for site in sites])
    return tuple(site for site in sites if site.name == name)


def require_site(name: str, known: Iterable[str]) -> None:
    """Raise UsageError if ``name`` is not a known site."""
    names = sorted(known)
    if name not in names:
        sentences = (f"There is no site {name}.", did_you_mean(name, names), f"Known sites: {', '.join(names) or 'none'}.")
        raise UsageError("Unknown site", " ".join(filter(None, sentences)))
