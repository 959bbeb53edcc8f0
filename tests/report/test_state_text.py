"""``show``."""

from collections.abc import Callable
from pathlib import Path

import pytest
from msgspec.structs import replace

from pragmaspec.report.lists_text import (
    image_names,
)
from pragmaspec.report.state_text import show_text
from pragmaspec.report.style import Style
from pragmaspec.resources import Blob, Network, Readiness
from pragmaspec.state_model import Record
from tests.report.samples import ALLOCATION, IMAGE, node, running_state

CASES = Path(__file__).parents[1] / "cases" / "report"
Golden = Callable[[Path, str], None]
STYLE = Style()
STATE = running_state()


@pytest.mark.parametrize("name", ["hello-frontend", "hello-compute-0"])
def test_show_node(name: str, golden: Golden) -> None:
    record = STATE.record(f"lab/hello/node/{name}")
    assert record is not None
    golden(CASES / f"show-{name}.txt", show_text(record, image_names(STATE), STYLE))


def test_show_uefi_firmware() -> None:
    assert "firmware" not in show_text(Record(resource=node(0)), {}, STYLE)
    assert "firmware    uefi\n" in show_text(Record(resource=node(0, firmware="uefi")), {}, STYLE)


def test_show_autostart() -> None:
    assert "autostart" not in show_text(Record(resource=node(0)), {}, STYLE)
    assert "autostart   yes\n" in show_text(Record(resource=node(0, autostart=True)), {}, STYLE)


def test_show_others(golden: Golden) -> None:
    wide = replace(ALLOCATION, networks=(*ALLOCATION.networks, Network(name="storage", cidr="10.9.0.0/24")), protect=True)
    direct = replace(
        IMAGE, kernel=Blob(sha256="11" * 32, size_bytes=5), initrd=Blob(sha256="22" * 32, size_bytes=5), cmdline="quiet"
    )
    records = (
        Record(resource=ALLOCATION),
        Record(resource=wide),
        Record(resource=IMAGE),
        Record(resource=direct),
        Record(resource=node(0, protect=True, nics=(replace(node(0).nics[0], mtu=9000),))),
        Record(resource=node(1, readiness=Readiness(when="none"))),
    )
    golden(CASES / "show-others.txt", "\n".join(show_text(record, {}, STYLE) for record in records))
