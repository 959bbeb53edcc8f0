from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pragmaspec.errors import SpecError, UsageError
from pragmaspec.images.importer import spec_name
from pragmaspec.images.pragma.importer import ImportSelection, SpecAdditions, add_to_spec, relative_to_spec, spec_additions
from pragmaspec.images.pragma.repository import ListedCluster, PragmaRepository
from pragmaspec.images.pragma.spec_edit import insert_entries
from pragmaspec.images.pragma.spec_entries import cluster_entry, image_entries
from pragmaspec.images.pragma.vc_in import read_vc_in
from pragmaspec.spec.loader import load_spec
from pragmaspec.spec.yaml.parser import read_document
from pragmaspec.spec.yaml.tree import plain_data
from tests.images.pragma.repositories import VC_IN

ENTRY = {"rocks": ["pragma: {repository: ./vms, cluster: rocks}"]}
ROCKS = read_vc_in(VC_IN.format(frontend="", compute="").encode(), "Rocks_7")


IN_IT = "  rocks:\n    pragma: {repository: ./vms, cluster: rocks}\n"
DEEP = """\
# mine
images:
    a: {source: x}  # the first
    # the last

# Where
sites: {}
clusters: {}"""
DEEP_WITH_IT = """\
# mine
images:
    a: {source: x}  # the first
    # the last
    rocks:
      pragma: {repository: ./vms, cluster: rocks}

# Where
sites: {}
clusters: {}"""
CRLF_IT = IN_IT.replace("\n", "\r\n")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("clusters: {}\n", f"clusters: {{}}\n\nimages:\n{IN_IT}"),
        ("images: {}  # none yet\nclusters: {}\n", f"images:  # none yet\n{IN_IT}clusters: {{}}\n"),
        ("images:\nclusters: {}\n", f"images:\n{IN_IT}clusters: {{}}\n"),
        (DEEP, DEEP_WITH_IT),
        ("", f"images:\n{IN_IT}"),
        ("a: 1\r\nclusters: {}\r\n", f"a: 1\r\nclusters: {{}}\r\n\r\nimages:\r\n{CRLF_IT}"),
        ("images: {}\r\nclusters: {}", f"images:\r\n{CRLF_IT}clusters: {{}}"),
        ("clusters: {}\r\nimages:\r\n  a: {source: x}", f"clusters: {{}}\r\nimages:\r\n  a: {{source: x}}\r\n{CRLF_IT.rstrip()}"),
        ("clusters: {}\nimages:\r\n  a: {}\n", f"clusters: {{}}\nimages:\r\n  a: {{}}\n{IN_IT}"),
        ('"images":\n  a: {source: x}\n', f'"images":\n  a: {{source: x}}\n{IN_IT}'),
        ("images: &x  {}  # none\nclusters: {}\n", f"images: &x  # none\n{IN_IT}clusters: {{}}\n"),
        ("images: &x\n  a: {source: x}\n", f"images: &x\n  a: {{source: x}}\n{IN_IT}"),
    ],
)
def test_the_rest_of_the_spec_is_unchanged(before: str, after: str) -> None:
    assert insert_entries(before, "images", ENTRY, "cluster.yaml") == after


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("images:\n  rocks: {source: x}\n", "already has rocks"),
        ("images: {a: {source: x}}\n", "on a separate line"),
        ("images: *x\n", "Unknown alias"),
        ("{images: {a: {source: x}}}\n", "cannot be changed|."),
        ("images:\n  a: [\n", "."),
    ],
)
def test_a_spec_that_does_not_allow_insertion_is_rejected(text: str, words: str) -> None:
    with pytest.raises(SpecError, match=words):
        insert_entries(text, "images", ENTRY, "cluster.yaml")


@pytest.mark.parametrize(
    "text", ['{"clusters": {}}', '{"clusters": {}, "images": {"a": {"source": "x"}}}\n', "---\n{clusters: {}}"]
)
def test_a_spec_in_braces_is_rejected_at_an_existing_line(text: str) -> None:
    with pytest.raises(SpecError, match="Write its sections as blocks") as caught:
        insert_entries(text, "images", ENTRY, "cluster.yaml")
    (problem,) = caught.value.problems
    assert problem.where is not None
    assert problem.where.line <= len(text.splitlines())


@given(
    st.lists(
        st.sampled_from(
            [
                "images:",
                "  a: {source: x}",
                "  # note",
                "",
                "# top",
                "clusters: {}",
                "  b:",
                "    source: y",
                "stack: z",
                "images: {}",
            ]
        ),
        max_size=12,
    )
)
def test_insertion_preserves_the_meaning_of_any_spec(lines: list[str]) -> None:
    text = "\n".join(lines)
    try:
        before = plain_data(read_document(text.encode(), "x").root)
        changed = insert_entries(text, "images", ENTRY, "x")
    except SpecError:
        return
    after = plain_data(read_document(changed.encode(), "x").root)
    assert isinstance(before, dict)
    assert isinstance(after, dict)
    added = after["images"].pop("rocks")
    assert added == {"pragma": {"repository": "./vms", "cluster": "rocks"}}
    assert after == {**before, "images": before.get("images") or {}}
    assert [line for line in text.splitlines() if "#" in line] == [line for line in changed.splitlines() if "#" in line]


def test_a_cluster_is_imported_as_images_and_a_cluster(tmp_path: Path) -> None:
    listed = [
        ListedCluster(name="Rocks_7", path="x.xml", appliance=ROCKS),
        ListedCluster(name="bad", path="y.xml", trouble="It is broken."),
    ]
    new = spec_additions(listed, "https://host/vms", ImportSelection(site="lab"))
    assert [one.name for one in new.skipped] == ["bad"]
    spec = tmp_path / "cluster.yaml"
    spec.write_text(add_to_spec("# all\nsites:\n  lab: {provider: simulated}\nclusters: {}\n", new, "cluster.yaml"))
    model = load_spec(spec, user_config=tmp_path, home=tmp_path).model
    assert set(model.images) == {"rocks-7-frontend", "rocks-7-compute"}
    cluster = model.clusters["rocks-7"]
    assert (cluster.frontend.cpus, cluster.frontend.memory_mib, cluster.frontend.image) == (2, 2048, "rocks-7-frontend")
    assert (cluster.computes.cpus, cluster.computes.memory_mib, cluster.computes.image) == (4, 1024, "rocks-7-compute")
    assert {image.guest for image in model.images.values()} == {"files"}, "they have no cloud-init"
    text = spec.read_text()
    assert "bus ide" in text
    assert cluster.computes.wait_for == ("frontend",)


def test_a_shared_disk_is_imported_as_one_image() -> None:
    same = read_vc_in(b"<vc><frontend><devices><disk><source file='a.img'/></disk></devices></frontend></vc>", "one")
    assert list(image_entries(same, "./vms")) == ["one"]
    assert "memory" not in str(cluster_entry(same, "lab"))


def test_clusters_are_selected_by_name() -> None:
    listed = [
        ListedCluster(name="Rocks_7", path="x.xml", appliance=ROCKS),
        ListedCluster(name="bad", path="y.xml", trouble="It is broken."),
    ]
    assert spec_additions(listed, "./vms", ImportSelection(names=("Rocks_7",))) == SpecAdditions(
        images=image_entries(ROCKS, "./vms"), clusters={}
    )
    with pytest.raises(UsageError, match="no other"):
        spec_additions(listed, "./vms", ImportSelection(names=("other",)))
    with pytest.raises(UsageError, match="It is broken"):
        spec_additions(listed, "./vms", ImportSelection(names=("bad",)))
    assert PragmaRepository("x", {"vcdb.txt": b""}.get).listed() == ()


def test_a_single_cluster_can_be_renamed() -> None:
    listed = [
        ListedCluster(name="Rocks_7", path="x.xml", appliance=ROCKS),
        ListedCluster(name="rocks-7", path="y.xml", appliance=ROCKS),
    ]
    new = spec_additions(listed, "./vms", ImportSelection(names=("rocks-7",), site="lab", called="second"))
    assert (list(new.images), list(new.clusters)) == (["second-frontend", "second-compute"], ["second"])
    (left_out,) = spec_additions(listed, "./vms", ImportSelection()).skipped
    assert (left_out.name, "--as NAME" in left_out.trouble) == ("rocks-7", True)
    with pytest.raises(UsageError, match="Name exactly one cluster") as refused:
        spec_additions(listed, "./vms", ImportSelection(called="Bad_Name"))
    assert "bad-name is valid" in str(refused.value)


@pytest.mark.parametrize(
    ("name", "found"), [("Rocks_7.1", "rocks-7-1"), ("7seas", "vc-7seas"), ("centos7", "centos7"), ("A" * 80, "a" * 32)]
)
def test_names_are_converted_to_valid_spec_names(name: str, found: str) -> None:
    assert spec_name(name) == found


def test_a_repository_is_written_relative_to_the_spec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert relative_to_spec("vms", Path("cluster.yaml")) == "./vms"
    assert relative_to_spec("vms", Path("below/cluster.yaml")) == "../vms"
    assert relative_to_spec("https://host/vms", Path("cluster.yaml")) == "https://host/vms"
    assert relative_to_spec(str(tmp_path / "vms"), Path("cluster.yaml")) == "./vms"
