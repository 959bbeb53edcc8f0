"""The examples for state, renames and orphans in docs/library.md run unchanged."""

import re
from pathlib import Path

from tests.cli.harness import CommandLine

PAGE = Path(__file__).parents[2] / "docs" / "library.md"


def test_the_examples_of_the_library_documentation_run(cli: CommandLine) -> None:
    cli.running(1)
    cli("state", "rm", "hello-compute-0", "-y")
    _, *examples = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    names: dict[str, object] = {}
    states, rename, orphans = examples
    serial = cli("state", "list", "--json").json["serial"]
    exec(states, names)  # noqa: S102 - the documentation is ours
    assert cli("state", "list", "--json").json["serial"] == serial + 2, "pushed, and restored"
    exec(rename, names)  # noqa: S102
    assert "lab/world/node/world-frontend" in cli("state", "list").out
    cli("state", "mv", "world", "hello", "-y")
    assert len(cli("state", "list", "--json").json["records"]) == 3
    exec(orphans, names)  # noqa: S102
    assert len(cli("state", "list", "--json").json["records"]) == 4
    cli("apply", "-y")
    assert cli("plan").out.startswith("No changes")
