from hypothesis import given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from pragmaspec.guest.cloud_init.yaml import Verbatim, Yaml, yaml_text

TEXT = st.text(st.characters(codec="utf-8")) | st.text("ab \t\n#:-'\"\\|>é\x85\u2028", max_size=30)
VALUES = st.recursive(
    st.booleans() | st.integers() | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)


def loaded(text: str, version: str) -> object:
    yaml = YAML(typ="safe", pure=True)
    yaml.version = version
    return yaml.load(text)


@settings(deadline=None)
@given(st.dictionaries(TEXT, VALUES, max_size=5))
def test_every_reader_of_yaml_reads_what_was_meant(document: dict[str, Yaml]) -> None:
    text = yaml_text(document)
    assert loaded(text, "1.1") == document
    assert loaded(text, "1.2") == document


def test_long_keys_are_allowed() -> None:
    document: dict[str, Yaml] = {"k" * 2000: {"é" * 300: [1, "a\nb\n"]}, "short": True}
    text = yaml_text(document)
    assert loaded(text, "1.1") == loaded(text, "1.2") == document


def test_words_that_yaml_takes_for_something_else_are_quoted() -> None:
    words = [
        "yes",
        "No",
        "ON",
        "null",
        "y",
        "~",
        "0644",
        "1:30",
        "2026-01-01",
        "1e3",
        "=",
        "<<",
        "true",
        ".inf",
        "0x1F",
        "- a",
        "",
    ]
    assert loaded(yaml_text({"words": words}), "1.1") == {"words": words}


def test_verbatim_text_stays_as_it_was() -> None:
    document = {"a": Verbatim("0644"), "b": Verbatim("yes"), "c": [Verbatim(""), Verbatim("1:30")], Verbatim("on"): 1}
    assert yaml_text(document) == "a: 0644\nb: yes\nc:\n  - null\n  - 1:30\non: 1\n"


def test_it_looks_like_what_a_person_would_write() -> None:
    document: dict[str, Yaml] = {
        "name": "hello-frontend",
        "on": True,
        "off": False,
        "count": 3,
        "empty": {"list": [], "mapping": {}},
        "script": "#!/bin/sh\necho\thi\n\n  done\n",
        "no end": "a\nb",
        "commands": [["sh", "-c", "a\nb\n"], "true", {"path": "/etc/x", "deep": [1]}],
    }
    assert (
        yaml_text(document)
        == """\
name: hello-frontend
"on": true
"off": false
count: 3
empty:
  list: []
  mapping: {}
script: |
  #!/bin/sh
  echo	hi

    done
"no end": |-
  a
  b
commands:
  - - sh
    - "-c"
    - |
        a
        b
  - "true"
  - path: /etc/x
    deep:
      - 1
"""
    )
