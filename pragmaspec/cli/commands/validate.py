"""``validate``: check the spec."""

import typer

from pragmaspec.cli.options import JsonOption, SpecArgument, SpecOption, examples, one_spec
from pragmaspec.cli.terminal.screen import out


def register(app: typer.Typer) -> None:
    """Add the command to ``app``."""
    app.command("validate", epilog=examples("validate", "validate hello.yaml --json"))(validate)


def validate(spec: SpecArgument = None, *, json: JsonOption = False, spec_option: SpecOption = None) -> None:
    """Check the spec and every file it refers to. Reports all errors at once; queries no site and builds no image."""
    from pragmaspec.cli.terminal.plan_output import show_warnings
    from pragmaspec.report.json_forms import problem_json
    from pragmaspec.spec.loader import load_spec
    from pragmaspec.spec.models.roles import node_sets
    from pragmaspec.stack.images.validate import image_findings
    from pragmaspec.stack.location import locate_stack
    from pragmaspec.stack.resolve_spec import check_stack_name, check_state
    from pragmaspec.text import counted

    location = locate_stack(one_spec(spec, spec_option))
    loaded = load_spec(location.spec_file, image_check=image_findings)
    check_stack_name(location, loaded)
    check_state(location, loaded)
    model = loaded.model
    nodes = sum(each.count for cluster in model.clusters.values() for each in node_sets(cluster))
    warnings = loaded.warnings
    show_warnings(warnings)
    if json:
        form = {"clusters": len(model.clusters), "nodes": nodes, "sites": len(model.sites), "images": len(model.images)}
        shown = [problem_json(warning) for warning in warnings]
        out().json({"kind": "validation", "format": 1, "spec": str(location.spec_file), **form, "warnings": shown})
        return
    parts = (
        counted(len(model.clusters), "cluster"),
        counted(nodes, "node"),
        counted(len(model.sites), "site"),
        counted(len(model.images), "image"),
    )
    suffix = f", with {counted(len(warnings), 'warning')}" if warnings else ""
    out().line(f"{location.spec_file} is valid{suffix}: {', '.join(parts)}.")
