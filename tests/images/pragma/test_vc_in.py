import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pragmaspec.errors import ImageError
from pragmaspec.images.pragma.vc_in import ApplianceDisk, read_vc_in
from tests.images.pragma.repositories import SPLIT_GZIP, VC_IN

PLAIN = VC_IN.format(frontend="", compute="")


def test_both_roles_are_parsed() -> None:
    found = read_vc_in(VC_IN.format(frontend=SPLIT_GZIP, compute="").encode(), "rocks")
    assert (found.frontend.cpus, found.frontend.memory_mib) == (2, 2048)
    parts = ("frontend.vda.gz.a", "frontend.vda.gz.b", "frontend.vda.gz.c")
    assert found.disk("frontend") == ApplianceDisk(packing="splited_gzip", files=parts, format="raw", bus="virtio")
    assert found.compute is not None
    assert (found.compute.cpus, found.compute.memory_mib) == (4, 1024)
    assert found.disk("compute") == ApplianceDisk(packing="raw", files=("compute.hda",), format="raw", bus="ide")
    assert found.wait_s == 300


def test_computes_without_a_disk_use_the_frontends() -> None:
    text = PLAIN[: PLAIN.index("  <compute>")] + "<compute><domain/></compute></vc>"
    found = read_vc_in(text.encode(), "rocks")
    assert found.disk("compute") == found.disk("frontend")
    assert found.compute is not None
    assert found.compute.cpus == 1
    without = read_vc_in((PLAIN[: PLAIN.index("  <compute>")] + "</vc>").encode(), "rocks")
    assert without.compute is None
    assert without.disk("compute") == without.disk("frontend")


def test_files_declared_beside_the_roles_are_parsed() -> None:
    files = "<files><file type='gzip' filename='frontend.vda'><part>a.gz</part></file><file filename='other' type='raw'/></files>"
    found = read_vc_in(PLAIN.replace("</vc>", files + "</vc>").encode(), "rocks")
    assert found.disk("frontend").files == ("a.gz",)
    assert found.disk("compute").files == ("compute.hda",)


def test_parts_without_a_filename_are_rejected() -> None:
    files = "<files><file type='splited'><part>a.1</part><part>a.2</part></file></files>"
    with pytest.raises(ImageError, match="has no filename, so it may") as refused:
        read_vc_in(PLAIN.replace("</vc>", files + "</vc>").encode(), "rocks")
    assert len(refused.value.problems) == 2, "frontend and compute"
    said = VC_IN.format(frontend=SPLIT_GZIP, compute="<file type='raw'/>").replace("</vc>", files + "</vc>")
    assert read_vc_in(said.encode(), "rocks").disk("compute").files == ("compute.hda",), "both say it in their role"


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("arch='x86_64'", "arch='ia64'", "for ia64 machines"),
        ("<frontend>", "<front>", "cannot be read"),
        ("<source file='frontend.vda'/>", "<source volume='v' pool='tank' host='nas'/>", "not a file of the repository"),
        ("file='frontend.vda'", "file='../../etc/shadow'", "not the name of a file"),
        ("file='frontend.vda'", "file='/etc/shadow'", "not the name of a file"),
        ("type='raw'/><source file='frontend.vda'", "type='vmdk'/><source file='frontend.vda'", "'vmdk'"),
        ("<vcpu>2", "<vcpu>two", "not a whole number"),
        ("unit='MiB'", "unit='pages'", "'pages'"),
        ("<vc version", "<!DOCTYPE vc [<!ENTITY a 'b'>]><vc version", "entities"),
        ("{frontend}", "<file type='zip'><part>a.zip</part></file>", "'zip'"),
        ("{frontend}", "<file type='gzip'><part>a</part><part>b</part></file>", "2 parts"),
        ("{frontend}", "<file type='gzip'><part>a/../../b</part></file>", "not the name of a file"),
    ],
)
def test_unsupported_clusters_are_rejected(old: str, new: str, words: str) -> None:
    text = VC_IN.replace(old, new).replace("{frontend}", "").replace("{compute}", "")
    assert text != PLAIN
    with pytest.raises(ImageError, match=words):
        read_vc_in(text.encode(), "rocks")


def test_all_problems_are_reported_at_once() -> None:
    text = PLAIN.replace("x86_64", "arm").replace("'raw'", "'qed'").replace("'MiB'", "'x'")
    with pytest.raises(ImageError) as refused:
        read_vc_in(text.encode(), "rocks")
    assert len(refused.value.problems) == 4


def test_a_document_without_frontend_or_disks_is_rejected() -> None:
    with pytest.raises(ImageError, match="no <frontend>"):
        read_vc_in(b"<vc/>", "x")
    empty = read_vc_in(b"<vc><frontend/></vc>", "x")
    with pytest.raises(ImageError, match="no disk for its compute"):
        empty.disk("compute")
    with pytest.raises(ImageError, match="more than"):
        read_vc_in(b" " * 2_000_000, "x")


@given(st.binary(max_size=300))
def test_any_bytes_are_either_parsed_or_rejected(noise: bytes) -> None:
    for at in (0, 200, 700):
        with contextlib.suppress(ImageError):
            read_vc_in(PLAIN.encode()[:at] + noise + PLAIN.encode()[at + len(noise) // 2 :], "x")
