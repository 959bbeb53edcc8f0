"""``list cluster``, ``list repository``, ``list site``."""

from typing import TYPE_CHECKING, Annotated

import typer

from pragmaspec.cli.completion import clusters, sites
from pragmaspec.cli.options import JsonOption, StackOptions, examples, expand_option_groups
from pragmaspec.cli.terminal.screen import out

if TYPE_CHECKING:
    from pragmaspec.report.site_text import SiteView
    from pragmaspec.site import Site

EXIT_UNREACHABLE = 1

app = typer.Typer(
    help="List clusters, images or sites.",
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def register(parent: typer.Typer) -> None:
    """Put the commands into ``parent``."""
    parent.add_typer(app, name="list", epilog=examples("list cluster", "list cluster hello", "list repository", "list site"))


@app.command("cluster", epilog=examples("list cluster", "list cluster hello", "list cluster hello --json"))
@expand_option_groups
def list_cluster(
    name: Annotated[
        str | None,
        typer.Argument(metavar="NAME", help="Show the nodes of this cluster.", autocompletion=clusters, show_default=False),
    ] = None,
    *,
    json: JsonOption = False,
    which: StackOptions,
) -> None:
    """Recorded clusters, or the nodes of one. Reads only what is recorded: `status` asks the sites."""
    from pragmaspec.report.lists_text import cluster_summaries, clusters_json, clusters_text, image_names, nodes_text
    from pragmaspec.stack.cluster_requests import refuse_unrecorded

    state = which.stack().state()
    summaries = cluster_summaries(state)
    if name is not None:
        refuse_unrecorded(name, state)
        summaries = tuple(each for each in summaries if each.name == name)
    if json:
        out().json(clusters_json(summaries, state))
        return
    out().write(clusters_text(summaries, out().pen))
    if name is not None:
        records = [record for node in state.nodes(name) if (record := state.record(node.address)) is not None]
        out().write("\n" + nodes_text(records, image_names(state), out().pen))


@app.command("repository", epilog=examples("list repository", "list repository --json", "list repository ./vm-images"))
@expand_option_groups
def list_repository(
    address: Annotated[
        str | None,
        typer.Argument(metavar="REPOSITORY", help="Show this PRAGMA repository instead: path or URL.", show_default=False),
    ] = None,
    *,
    json: JsonOption = False,
    which: StackOptions,
) -> None:
    """Images: where from, digest, size, where staged. Those of the spec, those recorded, and those kept locally."""
    if address is not None:
        from pragmaspec.cli.commands.import_repository import show_repository

        show_repository(address, json=json)
        return
    from pragmaspec.cli.terminal.image_progress import image_progress
    from pragmaspec.report.lists_text import repository_json, repository_text
    from pragmaspec.stack.images.list import list_images

    images = list_images(which.stack(), image_progress())
    if json:
        out().json(repository_json(images))
    else:
        out().write(repository_text(images, out().pen))


@app.command("site", epilog=examples("list site", "list site lab --json"))
@expand_option_groups
def list_site(
    name: Annotated[
        str | None,
        typer.Argument(metavar="NAME", help="Only this site.", autocompletion=sites, show_default=False),
    ] = None,
    *,
    json: JsonOption = False,
    which: StackOptions,
) -> None:
    """Sites: capacity, pools, what is taken and by whom.

    Asks the sites. Exit status 1 when one of them does not answer; the others are shown.
    """
    from pragmaspec.report.site_text import sites_json, sites_text

    views = _views(name, which)
    if json:
        out().json(sites_json(views))
    else:
        out().write(sites_text(views, out().pen))
    if any(view.trouble for view in views):
        raise typer.Exit(EXIT_UNREACHABLE)


def _views(name: str | None, which: StackOptions) -> "list[SiteView]":
    from pragmaspec.errors import UsageError
    from pragmaspec.stack.cluster_requests import NO_CLUSTER_DETAILS
    from pragmaspec.stack.sites import known_sites

    with which.stack() as stack:
        known = sorted(known_sites(stack.wanted(need=NO_CLUSTER_DETAILS), stack.state()), key=lambda site: site.name)
        chosen = [site for site in known if name in (None, site.name)]
        if name is not None and not chosen:
            names = ", ".join(site.name for site in known) or "none"
            raise UsageError("No such site", f"Nothing is called {name}. Known sites: {names}.")
        return [_view(site) for site in chosen]


def _view(site: "Site") -> "SiteView":
    """A site that does not answer is shown with its trouble: the others are still of interest."""
    from pragmaspec.errors import SiteError
    from pragmaspec.report.site_text import SiteView
    from pragmaspec.stack.sites import Sites

    with Sites((site,)) as sites:
        try:
            return SiteView(site=site, inventory=sites.inventories((site.name,))[site.name])
        except SiteError as error:
            return SiteView(site=site, trouble=str(error))
