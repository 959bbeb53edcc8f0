"""What docs/library.md shows of state, renames and lost things is run as it stands."""

import re
from pathlib import Path

from tests.cli.workshop import Workshop

PAGE = Path(__file__).parents[2] / "docs" / "library.md"


def test_the_examples_of_the_documentation(shop: Workshop) -> None:
    shop.running(1)
    shop("state", "rm", "hello-compute-0", "-y")
    _, *examples = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    names: dict[str, object] = {}
    states, rename, orphans = examples
    serial = shop("state", "list", "--json").json["serial"]
    exec(states, names)  # noqa: S102 - the documentation is ours
    assert shop("state", "list", "--json").json["serial"] == serial + 2, "pushed, and restored"
    exec(rename, names)  # noqa: S102
    assert "lab/world/node/world-frontend" in shop("state", "list").out
    shop("state", "mv", "world", "hello", "-y")
    assert len(shop("state", "list", "--json").json["records"]) == 3
    exec(orphans, names)  # noqa: S102
    assert len(shop("state", "list", "--json").json["records"]) == 4
    shop("apply", "-y")
    assert shop("plan").out.startswith("No changes")
