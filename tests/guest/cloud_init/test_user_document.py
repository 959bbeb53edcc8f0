import pytest

from pragmaspec.errors import SpecError
from pragmaspec.guest.cloud_init.merge import DEPTH_MAX, VALUES_MAX, read_user_data
from pragmaspec.guest.cloud_init.yaml import yaml_text


def test_words_keep_their_writing() -> None:
    text = "#cloud-config\na: yes\nb: 0644\nc: 'no'\nd: |\n  x\n  y\ne:\nf: [1:30, ~]\n2: two\ng: one\n  two\n\n  three\n"
    assert (
        yaml_text(read_user_data(text))
        == 'a: yes\nb: 0644\nc: "no"\nd: |\n  x\n  y\ne: null\nf:\n  - 1:30\n  - ~\n2: two\ng: |-\n  one two\n  three\n'
    )


@pytest.mark.parametrize("text", ["", "#cloud-config\n", "# only a comment\n", "---\n", "~\n".replace("~", "''")])
def test_an_empty_document_is_empty(text: str) -> None:
    assert read_user_data(text) == {}


def test_anchors_and_merge_keys_are_resolved() -> None:
    text = "a: &a {x: 1, y: 2}\nb: *a\nc: {<<: *a, y: 3}\nd:\n  <<: [{z: 1}, *a]\n"
    found = read_user_data(text)
    assert found == {
        "a": {"x": "1", "y": "2"},
        "b": {"x": "1", "y": "2"},
        "c": {"x": "1", "y": "3"},
        "d": {"z": "1", "x": "1", "y": "2"},
    }


def test_empty_lists_of_the_shared_keys_are_left_out() -> None:
    assert read_user_data("packages:\nruncmd:\nntp:\n") == {"ntp": ""}


BOMB = "a: &a [1,1,1,1,1,1,1,1,1,1]\n" + "".join(
    f"{new}: &{new} [{','.join([f'*{old}'] * 10)}]\n" for old, new in zip("abcde", "bcdef", strict=True)
)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("#!/bin/sh\necho\n", "begins with '#!/bin/sh'"),
        ("## template: jinja\n#cloud-config\n", "Only a cloud-config document"),
        ("#cloud-config-archive\n- a\n", "Only a cloud-config document"),
        ("#include\nhttps://example.org\n", "Only a cloud-config document"),
        ("a: [", "line 1: expected the node content"),
        ("a: 1\n\tb: 2\n", "line 2: "),
        ("a: \x07\n", "a character that YAML does not allow"),
        ("a: 1\n---\nb: 2\n", "more than one document"),
        ("- a\n", "not a mapping"),
        ("text\n", "not a mapping"),
        ("a: 1\nb: !!binary aGk=\n", "line 2: The tag"),
        ("a: !mine [1]\n", "The tag"),
        ("a: 1\nb: 2\na: 3\n", "line 3: The key 'a' is repeated"),
        ("? [1]\n: 2\n", "cannot be a key"),
        ("a: &x [*x]\n", "The alias \\*x names nothing"),
        ("a: *x\n", "The alias \\*x names nothing"),
        ("a: {<<: 1}\n", "merge key"),
        ("packages: htop\n", "'packages' has to hold a list"),
        ("ssh_keys: [a]\n", "'ssh_keys' has to hold a mapping"),
        (BOMB, f"at most {VALUES_MAX} values"),
        ("a: " + "[" * (DEPTH_MAX + 1) + "]" * (DEPTH_MAX + 1), "too large"),
    ],
)
def test_what_cannot_be_merged_is_refused_in_words(text: str, said: str) -> None:
    with pytest.raises(SpecError, match=said) as caught:
        read_user_data(text)
    assert caught.value.problems[0].summary == "The user-data cannot be merged"
