from hashlib import sha256, sha512

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pragmaspec.errors import ImageError
from pragmaspec.images.sums import Sum, sum_of

A, B, LONG = sha256(b"a").hexdigest(), sha256(b"b").hexdigest(), sha512(b"a").hexdigest()


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (f"{A}  disk.qcow2\n{B}  other.qcow2\n", Sum("sha256", A)),
        (f"{A} *disk.qcow2\r\n", Sum("sha256", A)),
        (f"# disk.qcow2: 17 bytes\nSHA256 (disk.qcow2) = {A.upper()}\n", Sum("sha256", A)),
        (f"{LONG}  disk.qcow2\n", Sum("sha512", LONG)),
        (f"SHA512 (disk.qcow2) = {LONG}\n\nSHA256 (disk.qcow2) = {A}\nMD5 (disk.qcow2) = {'0' * 32}\n", Sum("sha256", A)),
        (f"{A}  a/path/of/another.qcow2\n{B}  disk.qcow2\n", Sum("sha256", B)),
    ],
)
def test_the_forms_that_publishers_write(text: str, found: Sum) -> None:
    assert sum_of(text.encode(), "disk.qcow2", "SHA256SUMS") == found


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "has no SHA-256 or SHA-512 of disk.qcow2"),
        (f"{A}  other.qcow2\n", "has no SHA-256"),
        (f"{'0' * 32}  disk.qcow2\n{'0' * 40}  disk.qcow2\n", "has no SHA-256|second time"),
        (f"{A}  disk.qcow2\n{B}  disk.qcow2\n", "line 2 names disk.qcow2 a second time"),
        (f"{A}  disk.qcow2\nSHA256 (disk.qcow2) = {A}\n", "second time"),
        (f"{A}  ./disk.qcow2\n", "with a folder"),
        (f"{A}  ../../disk.qcow2\n", "with a folder"),
        (f"{A} disk.qcow2\n", "line 1 is not a digest and a name"),
        (f"{A}disk.qcow2\n", "line 1 is not"),
        (f"{A[:-1]}  disk.qcow2\n", "63 digits"),
        (f"SHA512 (disk.qcow2) = {A}\n", "64 digits"),
        ("<html>404 Not Found</html>\n", "line 1 is not"),
        (f"disk.qcow2  {A}\n", "line 1 is not"),
    ],
)
def test_everything_else_is_an_error(text: str, words: str) -> None:
    with pytest.raises(ImageError, match=words) as refused:
        sum_of(text.encode(), "disk.qcow2", "https://user:canary@images.example.org/SHA256SUMS?token=canary")
    assert "https://images.example.org/SHA256SUMS" in str(refused.value)
    assert "canary" not in str(refused.value)


def test_a_file_that_is_not_text() -> None:
    with pytest.raises(ImageError, match="not a text"):
        sum_of(b"\xff\xfe\0", "disk.qcow2", "SHA256SUMS")


@given(st.binary(max_size=200) | st.text(max_size=200).map(lambda text: f"{A}  {text}".encode(errors="replace")))
def test_nothing_else_is_ever_taken(text: bytes) -> None:
    try:
        found = sum_of(text, "disk.qcow2", "SHA256SUMS")
    except ImageError:
        return
    assert found == Sum("sha256", A)
