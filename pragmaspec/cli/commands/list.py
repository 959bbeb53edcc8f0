"""``list cluster``, ``list repository``, ``list site`` and ``list volume``."""

from typing import TYPE_CHECKING, Annotated

import typer

from pragmaspec.cli.command_group import command_group
from pragmaspec.cli.completion import clusters, sites
from pragmaspec.cli.options import JsonOption, StackOptions, examples, expand_option_groups
from pragmaspec.cli.terminal.screen import out

if TYPE_CHECKING:
    from pragmaspec.report.site_text import SiteView
    from pragmaspec.site import Site

EXIT_UNREACHABLE = 1

app = command_group("List clusters, images, sites or volumes.")


def register(parent: typer.Typer) -> None:
    """Add the commands to ``parent``."""
    parent.add_typer(
        app, name="list", epilog=examples("list cluster", "list cluster hello", "list repository", "list site", "list volume")
    )


@app.command("cluster", epilog=examples("list cluster", "list cluster hello", "list cluster hello --json"))
@expand_option_groups
def list_cluster(
    name: Annotated[
        str | None,
        typer.Argument(metavar="NAME", help="Show the nodes of this cluster.", autocompletion=clusters, show_default=False),
    ] = None,
    *,
    json: JsonOption = False,
    stack_options: StackOptions,
) -> None:
    """List the recorded clusters, or the nodes of one. Reads only the recorded state; `status` queries the sites."""
    from pragmaspec.report.lists_text import cluster_summaries, clusters_json, clusters_text, image_names, nodes_text
    from pragmaspec.stack.cluster_requests import refuse_unrecorded

    state = stack_options.stack().state()
    summaries = cluster_summaries(state)
    if name is not None:
        refuse_unrecorded(name, state)
        summaries = tuple(each for each in summaries if each.name == name)
    if json:
        out().json(clusters_json(summaries, state))
        return
    out().write(clusters_text(summaries, out().style))
    if name is not None:
        records = [record for node in state.nodes(name) if (record := state.record(node.address)) is not None]
        out().write("\n" + nodes_text(records, image_names(state), out().style))


@app.command("repository", epilog=examples("list repository", "list repository --json", "list repository ./vm-images"))
@expand_option_groups
def list_repository(
    address: Annotated[
        str | None,
        typer.Argument(metavar="REPOSITORY", help="Path or URL of a PRAGMA repository to list instead.", show_default=False),
    ] = None,
    *,
    json: JsonOption = False,
    stack_options: StackOptions,
) -> None:
    """List images with source, digest, size and sites: those in the spec, in the recorded state and in the local store."""
    if address is not None:
        from pragmaspec.cli.commands.import_repository import show_repository

        show_repository(address, json=json)
        return
    from pragmaspec.cli.terminal.image_progress import image_progress
    from pragmaspec.report.lists_text import repository_json, repository_text
    from pragmaspec.stack.images.list import list_images

    images = list_images(stack_options.stack(), image_progress())
    if json:
        out().json(repository_json(images))
    else:
        out().write(repository_text(images, out().style))


@app.command("site", epilog=examples("list site", "list site lab --json"))
@expand_option_groups
def list_site(
    name: Annotated[
        str | None,
        typer.Argument(metavar="NAME", help="Only this site.", autocompletion=sites, show_default=False),
    ] = None,
    *,
    json: JsonOption = False,
    stack_options: StackOptions,
) -> None:
    """List sites with capacity, pools, and their current users.

    Queries the sites. The exit status is 1 if one of them does not respond; the others are shown.
    """
    from pragmaspec.cli.site_selection import select_sites
    from pragmaspec.report.site_text import sites_json, sites_text
    from pragmaspec.stack.cluster_requests import NO_CLUSTER_DETAILS
    from pragmaspec.stack.sites import known_sites

    with stack_options.stack() as stack:
        known = known_sites(stack.wanted(need=NO_CLUSTER_DETAILS), stack.state())
        views = [_view(site) for site in select_sites(known, name)]
    if json:
        out().json(sites_json(views))
    else:
        out().write(sites_text(views, out().style))
    if any(view.trouble for view in views):
        raise typer.Exit(EXIT_UNREACHABLE)


@app.command("volume", epilog=examples("list volume", "list volume --json"))
@expand_option_groups
def list_volume(*, json: JsonOption = False, stack_options: StackOptions) -> None:
    """List the recorded volumes with their sizes and users. Reads only the recorded state; `status` queries the sites."""
    from pragmaspec.report.lists_text import volume_rows, volumes_json, volumes_text

    rows = volume_rows(stack_options.stack().state())
    if json:
        out().json(volumes_json(rows))
    else:
        out().write(volumes_text(rows, out().style))


def _view(site: "Site") -> "SiteView":
    """Return the inventory of ``site``, or the reason why it did not respond."""
    from pragmaspec.errors import SiteError
    from pragmaspec.report.site_text import SiteView
    from pragmaspec.stack.sites import Sites

    with Sites((site,)) as sites:
        try:
            return SiteView(site=site, inventory=sites.inventories((site.name,))[site.name])
        except SiteError as error:
            return SiteView(site=site, trouble=str(error))
