"""``validate``."""

import typer

from pragmaspec.cli.options import JsonOption, SpecArgument, SpecOption, examples, one_spec
from pragmaspec.cli.terminal.screen import out


def register(app: typer.Typer) -> None:
    """Put the command into ``app``."""
    app.command("validate", epilog=examples("validate", "validate hello.yaml --json"))(validate)


def validate(spec: SpecArgument = None, *, json: JsonOption = False, spec_option: SpecOption = None) -> None:
    """Check the spec with every file it points to. Reports every error at once; asks no site, builds no image."""
    from pragmaspec.cli.plan_and_apply import show_warnings
    from pragmaspec.report.json_forms import problem_json
    from pragmaspec.spec.loader import load_spec
    from pragmaspec.stack.images.validate import image_findings
    from pragmaspec.stack.location import locate_stack
    from pragmaspec.stack.resolve_spec import check_stack_name, check_state
    from pragmaspec.text import counted

    place = locate_stack(one_spec(spec, spec_option))
    loaded = load_spec(place.spec_file, image_check=image_findings)
    check_stack_name(place, loaded)
    check_state(place, loaded)
    model = loaded.model
    nodes = sum(1 + cluster.computes.count for cluster in model.clusters.values())
    warnings = loaded.warnings
    show_warnings(warnings)
    if json:
        form = {"clusters": len(model.clusters), "nodes": nodes, "sites": len(model.sites), "images": len(model.images)}
        said = [problem_json(warning) for warning in warnings]
        out().json({"kind": "validation", "format": 1, "spec": str(place.spec_file), **form, "warnings": said})
        return
    parts = (
        counted(len(model.clusters), "cluster"),
        counted(nodes, "node"),
        counted(len(model.sites), "site"),
        counted(len(model.images), "image"),
    )
    beside = f", with {counted(len(warnings), 'warning')}" if warnings else ""
    out().say(f"{place.spec_file} is sound{beside}: {', '.join(parts)}.")
