from msgspec.structs import replace

from pragmaspec.report.json_forms import resource_json
from pragmaspec.report.lists_text import volume_rows, volumes_json, volumes_text
from pragmaspec.report.state_text import show_text
from pragmaspec.report.style import Style
from pragmaspec.resources import Disk, Volume
from pragmaspec.state_model import Record, State
from tests.report.samples import LINEAGE, node

HOME = Volume(site="lab", name="home", size_bytes=20 * 2**30, cluster="hello")
OLD = Volume(site="lab", name="old", size_bytes=2**30, format="none")
FRONTEND = replace(node(), disks=(Disk(name="home", size_bytes=20 * 2**30, mount="/home", volume="home"),))
STATE = State(lineage=LINEAGE).with_records(Record(resource=each) for each in (HOME, OLD, FRONTEND))
PLAIN = Style(colour=False)


def test_volumes_are_listed_with_their_users() -> None:
    assert volumes_text(volume_rows(STATE), PLAIN).splitlines() == [
        "VOLUME  STATUS    SIZE  FORMAT  USED BY         SITE",
        "home    ready   20 GiB  ext4    hello-frontend  lab",
        "old     ready    1 GiB  none    unused          lab",
    ]
    assert "No volumes" in volumes_text((), PLAIN)


def test_the_document_of_volumes() -> None:
    first, second = volumes_json(volume_rows(STATE))["volumes"]
    assert first == {
        "site": "lab",
        "name": "home",
        "size_bytes": 20 * 2**30,
        "format": "ext4",
        "status": "ready",
        "cluster": "hello",
        "used_by": "hello-frontend",
    }
    assert second["used_by"] is None


def test_one_volume() -> None:
    assert resource_json(OLD)["kind"] == "volume"
    assert "20 GiB" in show_text(Record(resource=HOME), {}, PLAIN)
    assert "cluster" in show_text(Record(resource=HOME), {}, PLAIN)
    assert "cluster" not in show_text(Record(resource=OLD), {}, PLAIN)
    assert "volume home 20 GiB at /home" in show_text(Record(resource=FRONTEND), {}, PLAIN)
