"""Optional libraries that are not installed: the error contains the command that installs them."""

import os
from pathlib import Path

import pytest

from tests.cli.harness import CommandLine


@pytest.mark.parametrize(
    ("library", "line", "requirement"),
    [
        ("psycopg", "plan --state postgresql://127.0.0.1:1/states/hello", "psycopg[binary]>=3.2"),
        ("psycopg", "apply -y --state postgresql://127.0.0.1:1/states/hello", "psycopg[binary]>=3.2"),
        ("psycopg", "state lock show --state postgresql://127.0.0.1:1/states/hello", "psycopg[binary]>=3.2"),
        ("psycopg", "state migrate postgresql://127.0.0.1:1/states/hello -y", "psycopg[binary]>=3.2"),
        ("botocore", "plan --state s3://states/hello", "botocore>=1.35.70"),
        ("libvirt", "plan", "libvirt-python>=9.0"),
    ],
)
def test_a_missing_library_is_reported_with_its_requirement(
    cli: CommandLine, tmp_path: Path, library: str, line: str, requirement: str
) -> None:
    spec = cli.spec()
    if library == "libvirt":
        lines = spec.read_text().replace("provider: simulated", "provider: libvirt").splitlines(keepends=True)
        spec.write_text("".join(line for line in lines if not line.startswith(("    file:", "    public:"))))
    (tmp_path / f"{library}.py").write_text(f"raise ModuleNotFoundError('No module named {library}', name='{library}')\n")
    path = os.pathsep.join([str(tmp_path), cli.environment["PYTHONPATH"]])
    if "migrate" in line:
        cli("apply", "-y")
    result = cli.process(*line.split(), environment={"PYTHONPATH": path})
    assert result.status in {1, 64}
    assert "Traceback" not in result.err
    assert f"pip install '{requirement}'" in " ".join(result.err.split())
