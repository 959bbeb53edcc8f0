"""Checks of images that live at sites: clusters at other sites do not use them, and the sites are not misspelt."""

from collections.abc import Collection, Iterator, Mapping

from pragmaspec.spec.findings import Finding, listed
from pragmaspec.spec.models.cluster import ClusterModel, SpecModel
from pragmaspec.spec.yaml.tree import TreePath
from pragmaspec.text import closest


def image_site_findings(
    at: TreePath, cluster: ClusterModel, spec: SpecModel, named: Mapping[TreePath, str | None]
) -> Iterator[Finding]:
    """Yield a finding per image of ``named``, by path in ``cluster``, that lives only at other sites."""
    for path, name in named.items():
        image = spec.images.get(name or "")
        if image is None or image.origin or cluster.site in image.at:
            continue
        detail = (
            f"Image `{name}` lives only at {listed(sorted(image.at))}, and this cluster is at `{cluster.site}`. Name the site's "
            f"own image (`at: {{{cluster.site}: …}}` of the image), or add a source for all other sites."
        )
        yield Finding(path, "Image of another site", detail, about=((*at, "site"), ("images", str(name), "at")))


def misspelt_site_findings(spec: SpecModel, sites: Collection[str]) -> Iterator[Finding]:
    """Yield a warning per site in `at` of an image that is not defined but similar to one that is.

    Other unknown sites are those of other users of the spec.
    """
    for name, image in spec.images.items():
        for site in image.at:
            near = "" if site in sites else closest(site, sites)
            if near:
                detail = f"There is no site `{site}`, so this entry has no effect. Did you mean `{near}`?"
                yield Finding(("images", name, "at", site), "Unknown site", detail, at_key=True, severity="warning")
