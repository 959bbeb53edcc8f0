"""The YAML parser: types of unquoted scalars, positions, and limits."""

from collections.abc import Callable
from itertools import count

import pytest

from pragmaspec.errors import SpecError
from pragmaspec.spec.loaded_spec import LoadedSpec
from pragmaspec.spec.yaml.parser import read_document
from pragmaspec.spec.yaml.text import quoted_line
from pragmaspec.spec.yaml.tree import Mapping, Scalar, Sequence, plain_data

Load = Callable[[str], LoadedSpec]


@pytest.mark.parametrize(
    "word", ["52:54:00:12:34:56", "12:30", "1.10", "0644", "2026-01-02", "1e3", "0x10", "1_000", ".5", "+1", ".inf"]
)
def test_other_types_of_yaml_1_1_are_strings_in_user_data(load: Load, sample: str, word: str) -> None:
    found = load(f"{sample}    user_data: {{own: [{word}]}}\n").user_data[("hello",)]
    assert found == {"own": [word]}


@pytest.mark.parametrize(
    ("word", "value"),
    [
        ("true", True),
        ("False", False),
        ("null", None),
        ("~", None),
        ("7", 7),
        ("-7", -7),
        ("0.5", 0.5),
        ("'7'", "7"),
        ("9" * 16, "9" * 16),
    ],
)
def test_unambiguous_scalars_are_typed_in_user_data(load: Load, sample: str, word: str, value: object) -> None:
    found = load(f"{sample}    user_data: {{own: [{word}]}}\n").user_data[("hello",)]
    assert found == {"own": [value]}
    assert type(found["own"][0]) is type(value)


@pytest.mark.parametrize("word", ["1.10", "no", "0644", "12e03", "2026-01-02"])
def test_values_of_string_fields_are_strings(load: Load, sample: str, word: str) -> None:
    assert load(f"{sample}    packages: [x{word}, {word}]\n").model.clusters["hello"].packages == (f"x{word}", word)


@pytest.mark.parametrize("word", ["no", "Off", "YES", "on"])
def test_ambiguous_booleans_are_rejected_in_user_data(load: Load, sample: str, word: str) -> None:
    with pytest.raises(SpecError, match="Ambiguous boolean"):
        load(f"{sample}    user_data: {{manage_etc_hosts: {word}}}\n")


@pytest.mark.parametrize("keys", [("00", "01"), ("0", "1"), ("0", "'10'"), ("7", "a")])
def test_numeric_keys_are_allowed_in_user_data(load: Load, sample: str, keys: tuple[str, str]) -> None:
    one, other = keys
    found = load(f"{sample}    user_data: {{snap: {{commands: {{{one}: snap x, {other}: snap y}}}}}}\n").user_data[("hello",)]
    assert found == {"snap": {"commands": {one: "snap x", other.strip("'"): "snap y"}}}


def test_numeric_keys_that_sort_differently_as_strings_are_rejected(load: Load, sample: str) -> None:
    with pytest.raises(SpecError) as caught:
        load(f"{sample}    user_data: {{snap: {{commands: {{10: snap x, 2: snap y}}}}}}\n")
    (problem,) = caught.value.problems
    assert problem.summary == "Numeric keys of different length"
    assert problem.detail.endswith("Write `02`.")


def test_the_binary_tag_has_its_own_advice() -> None:
    with pytest.raises(SpecError, match="encoding: b64"):
        read_document(b"write_files: [{path: /x, content: !!binary eA==}]\n", "x")


def test_a_document_without_values_is_an_empty_mapping() -> None:
    assert read_document(b"# nothing yet\n", "x").root == Mapping((1, 1))


def test_every_key_and_value_has_a_position() -> None:
    root = read_document(b"a: [x,\n  {b: y}]\n'c d': |\n  text\n", "x").root
    assert root.keys == {"a": (1, 1), "c d": (3, 1)}
    assert root.items["a"] == Sequence((1, 4), [Scalar("x", (1, 5)), Mapping((2, 3), {"b": Scalar("y", (2, 7))}, {"b": (2, 4)})])
    assert plain_data(root) == {"a": ["x", {"b": "y"}], "c d": "text\n"}


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_all_kinds_of_line_ends_are_counted(newline: str) -> None:
    text = newline.join(["a: 1", "", "b:  x", ""])
    assert read_document(text.encode(), "x").root.keys["b"] == (3, 1)
    assert quoted_line(text, 3) == "b:  x"
    assert quoted_line(text, 9) is None


def test_nested_aliases_are_limited() -> None:
    names = count()
    first = next(names)
    lines = [f"k{first}: &k{first} [{','.join('x' * 50)}]"]
    lines += [f"k{name}: [{','.join([f'*k{first}'] * 30)}]" for name in (next(names) for _ in range(3))]
    assert len(plain_data(read_document("\n".join(lines).encode(), "x").root)) == 4  # type: ignore[arg-type] - a mapping's data is a dict
    lines += [f"k{next(names)}: [{','.join([f'*k{first}'] * 11)}]"]
    with pytest.raises(SpecError, match="Too many aliases"):
        read_document("\n".join(lines).encode(), "x")


@pytest.mark.parametrize("text", ["[" * 100_000, "{a: " * 50_000, "- " * 50_000, "? " * 50_000])
def test_deep_nesting_is_rejected_early(text: str) -> None:
    with pytest.raises(SpecError, match="Nested too deeply"):
        read_document(text.encode(), "x")


def test_unexpected_errors_of_the_parser_are_reported() -> None:
    with pytest.raises(SpecError, match="Invalid YAML"):
        read_document(b'a: "\\U00110000"\n', "x")
    with pytest.raises(SpecError, match="Invalid YAML: The YAML parser reports: expected"):
        read_document(b"&a &b c\n", "x")
