from hypothesis import given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from pragmaspec.guest.cloud_init.yaml import Yaml, yaml_text

TEXT = st.text(st.characters(codec="utf-8")) | st.text("ab \t\n#:-'\"\\|>é\x85\u2028", max_size=30)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)


def loaded(text: str, version: str) -> object:
    yaml = YAML(typ="safe", pure=True)
    yaml.version = version
    return yaml.load(text)


@settings(deadline=None)
@given(st.dictionaries(TEXT, VALUES, max_size=5))
def test_all_yaml_versions_read_the_document_back(document: dict[str, Yaml]) -> None:
    text = yaml_text(document)
    assert loaded(text, "1.1") == document
    assert loaded(text, "1.2") == document


def test_long_keys_are_written_as_explicit_keys() -> None:
    document: dict[str, Yaml] = {"k" * 2000: {"é" * 300: [1, "a\nb\n"]}, "short": True}
    text = yaml_text(document)
    assert loaded(text, "1.1") == loaded(text, "1.2") == document


def test_strings_that_look_like_other_types_are_quoted() -> None:
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


def test_numbers_and_null_are_plain() -> None:
    assert yaml_text({"a": 0.5, "b": -7, "c": [None, True]}) == "a: 0.5\nb: -7\nc:\n  - null\n  - true\n"


def test_the_output_is_readable() -> None:
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
