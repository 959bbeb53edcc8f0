from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pragmaspec.spec.peek import PEEK_LIMIT_BYTES, SpecPeek, StateSetting, peek

URL = "https://host:8/a/b?c=d"


@pytest.mark.parametrize(
    ("text", "url", "encrypt"),
    [
        ("clusters: {}", "", None),
        ("clusters:\n  hello:\n    state: off", "", None),
        (f"# state: no\nstate: {URL}\nclusters: {{}}", URL, None),
        (f'"state":   "{URL}"   # there', URL, None),
        (f"state: '{URL}'\r\nclusters: {{}}\r\n", URL, None),
        (f"state:\n  url: {URL}\n  encrypt: true\nclusters: {{}}", URL, True),
        (f"state:   # where\n\n  # url: no\n  encrypt: false\n  'url': '{URL}'\nclusters: {{}}", URL, False),
        (f"clusters: {{}}\nstate:\n  encrypt: true\n  url: {URL}", URL, True),
        (f"state: {{url: {URL}, encrypt: true}}", URL, True),
        (f'state: {{"encrypt": false, "url": "{URL}"}}  # both', URL, False),
        ("state:\n  encrypt: true\nclusters: {}", "", True),
        ("state: null", "", None),
        ("state: ~", "", None),
        ('state: "null"', "null", None),
        ("state:\nclusters: {}", "", None),
        ("state: a directory with blanks", "a directory with blanks", None),
        (f"{{state: {URL}, clusters: {{}}}}", URL, None),
        (f'{{"state": {{"url": "{URL}", "encrypt": true}}, "clusters": {{}}}}', URL, True),
        (f"# first\n---\n  state: {URL}\n  clusters: {{}}", URL, None),
        (f"--- {{state: {URL}}}", URL, None),
        (f"x-s: &s {URL}\nstate: *s", URL, None),
        (f"state: &s\n  url: {URL}", URL, None),
        (f"state: !!str {URL}", "", None),
        (f"state: {{\n  url: {URL},\n  encrypt: false}}", URL, False),
        ("state: [a]", "", None),
        ("state: {url: ./some where}", "./some where", None),
        ("state: {url: ./some where, encrypt: true}", "./some where", True),
        ("state:\n  url: ./some where  # there\n  encrypt: true", "./some where", True),
        ("state: {url: ./a , encrypt: true}", "./a", True),
        ("{state: null}", "", None),
        ("{clusters: {a: {state: off}}}", "", None),
        ("state: ./a\n  b\n", "./a b", None),
        ("state: *anchor", "", None),
        ("state:\n  nested:\n    url2: x", "", None),
        ("state: &s\n  encrypt: [true]", "", None),
        ("state: &s\n  url: {a: b}\n  encrypt: {a: b}", "", None),
    ],
)
def test_state_is_found_in_every_form(text: str, url: str, encrypt: bool | None) -> None:
    assert SpecPeek(text.encode()).state == StateSetting(url=url, encrypt=encrypt)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("clusters: {}", None),
        ("stack: lab", "lab"),
        ('"stack" : "lab-1"  # x\r\nclusters: {}\r\n', "lab-1"),
        ("{stack: lab, clusters: {}}", "lab"),
        ("  stack: lab\n  clusters: {}", "lab"),
        ("stack: &n lab", "lab"),
        ("clusters: {}\n? stack\n: lab", "lab"),
        ("stack: [lab]", None),
        ("stack: a b", None),
        ("# the stack\nclusters: {a: {}}", None),
    ],
)
def test_stack_name_is_found_in_every_form(text: str, name: str | None) -> None:
    assert SpecPeek(text.encode()).stack_name == name


@pytest.mark.parametrize(
    ("text", "expected"),
    [("clusters: {}", True), ('x: 1\n"clusters" : {}', True), ("sites:\n  clusters: no", False), ("# clusters: no", False)],
)
def test_clusters_are_found_at_the_top_level_only(text: str, expected: bool) -> None:
    assert SpecPeek(text.encode()).has_clusters is expected


@pytest.mark.parametrize(
    ("text", "paths"),
    [
        ("source: ./a.qcow2", {"./a.qcow2"}),
        ('images: {x: {source: a b.raw, kernel: \'k 1\', "initrd": "i,1"}}', {"a b.raw", "k 1", "i,1"}),
        ("source: ./a.qcow2  # there", {"./a.qcow2"}),
        ("source: https://host/a.qcow2\nkernel: s3://b/k", set()),
        ("resource: ./a", set()),
        ("clusters: {}", set()),
    ],
)
def test_image_paths_are_the_local_ones(text: str, paths: set[str]) -> None:
    assert SpecPeek(text.encode()).image_paths == paths


@given(st.binary(max_size=300))
def test_no_input_raises(data: bytes) -> None:
    for text in (data, b"state: " + data, b"state:\n  " + data, b"stack: " + data):
        found = SpecPeek(text)
        _ = (found.state, found.stack_name, found.has_clusters, found.image_paths)


def test_unreadable_files_have_no_values(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "absent.yaml", Path("/dev/zero")):
        assert (peek(path).state, peek(path).stack_name, peek(path).has_clusters) == (StateSetting(), None, False)


def test_only_the_beginning_of_a_large_file_is_examined(tmp_path: Path) -> None:
    spec = tmp_path / "large.yaml"
    filler = b"#" + b"x" * 78 + b"\n"
    spec.write_bytes(b"stack: early\n" + filler * (PEEK_LIMIT_BYTES // len(filler) + 1) + b"clusters: {}\n")
    found = peek(spec)
    assert (found.stack_name, found.has_clusters) == ("early", False)
