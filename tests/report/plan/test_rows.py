from pragmaspec.errors import Where
from pragmaspec.planning.plan import Action
from pragmaspec.report.plan.text import plan_text
from tests.report.samples import IMAGE, plan


def test_source_line_of_another_file() -> None:
    elsewhere = Action(verb="stage", resource=IMAGE, reason="new", where=Where(file="conf/sites.yaml", line=4))
    assert plan_text(plan(elsewhere), width=120, colour=False).splitlines()[2].endswith("sites.yaml:4")
