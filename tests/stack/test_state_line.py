import pytest
from hypothesis import given
from hypothesis import strategies as st

from pragmaspec.stack.location import StateSetting, is_url, peek_stack_name, peek_state

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
        ("state: a folder with blanks", "a folder with blanks", None),
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
    ],
)
def test_what_is_seen(text: str, url: str, encrypt: bool | None) -> None:
    assert peek_state(text.encode()) == StateSetting(url=url, encrypt=encrypt)


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
def test_names_of_stacks(text: str, name: str | None) -> None:
    assert peek_stack_name(text.encode()) == name


@given(st.binary(max_size=300))
def test_any_bytes_are_looked_at_without_trouble(data: bytes) -> None:
    peek_state(b"state: " + data)
    peek_state(b"state:\n  " + data)


@pytest.mark.parametrize(
    ("text", "url"), [(URL, True), ("s3://b/k", True), ("file:///x", True), ("a/b", False), ("./a:b", False)]
)
def test_is_url(text: str, url: bool) -> None:
    assert is_url(text) is url
