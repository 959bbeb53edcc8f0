"""``list cluster``, ``list node`` and ``list repository``."""

from collections.abc import Callable
from pathlib import Path

from pragmaspec.report.json_forms import json_text
from pragmaspec.report.lists_text import (
    ImageRow,
    cluster_summaries,
    clusters_json,
    clusters_text,
    image_names,
    nodes_text,
    repository_json,
    repository_text,
)
from pragmaspec.report.style import Style
from pragmaspec.state_model import Record
from tests.report.samples import ALLOCATION, node, running_state, state

CASES = Path(__file__).parents[1] / "cases" / "report"
Golden = Callable[[Path, str], None]
STYLE = Style()
STATE = running_state()
IMAGES = (
    ImageRow(
        name="debian-12",
        origin="built from Debian bookworm",
        format="qcow2",
        digest="ab" * 32,
        size_bytes=612 * 2**20,
        sites=("lab",),
        local=True,
    ),
    ImageRow(name="tiny", origin="./tiny.qcow2", format="raw", digest="cd" * 32, size_bytes=20 * 2**20),
)


def test_clusters(golden: Golden) -> None:
    summaries = cluster_summaries(STATE)
    golden(CASES / "clusters.txt", clusters_text(summaries, STYLE))
    golden(CASES / "clusters.json", json_text(clusters_json(summaries, STATE)))


def test_cluster_status_follows_from_its_nodes() -> None:
    ready, off = Record(resource=node()), Record(resource=node(running=False))
    granted = Record(resource=ALLOCATION)
    words = [
        cluster_summaries(state(*records))[0].status
        for records in (
            (granted, ready),
            (granted, off),
            (granted, ready, Record(resource=node(0, running=False))),
            (granted, ready, Record(resource=node(0), status="pending")),
            (granted, ready, Record(resource=node(0), status="pending"), Record(resource=node(1), status="degraded")),
            (granted,),
            (Record(resource=ALLOCATION, status="pending"),),
            (ready,),
        )
    ]
    assert words == ["ready", "off", "degraded", "pending", "degraded", "off", "pending", "pending"]
    assert "No clusters" in clusters_text((), STYLE)
    orphan = cluster_summaries(state(ready))
    assert "pending" in clusters_text(orphan, STYLE)
    assert clusters_json(orphan, state(ready))["clusters"][0]["allocation"] is None


def test_nodes(golden: Golden) -> None:
    records = [record for each in STATE.nodes("hello") if (record := STATE.record(each.address))]
    golden(CASES / "nodes.txt", nodes_text(records, image_names(STATE), STYLE))
    assert nodes_text([], {}, STYLE) == "No nodes are recorded.\n"
    assert "abababababababab" in nodes_text([Record(resource=node(0, nics=())), Record(resource=ALLOCATION)], {}, STYLE)


def test_repository(golden: Golden) -> None:
    golden(CASES / "repository.txt", repository_text(IMAGES, STYLE))
    golden(CASES / "repository.json", json_text(repository_json(IMAGES)))
    assert "No images" in repository_text((), STYLE)
