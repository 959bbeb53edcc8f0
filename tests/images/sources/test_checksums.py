from hashlib import sha256, sha512

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pragmaspec.errors import ImageError
from pragmaspec.images.sources.checksums import PublishedDigest, find_digest

A, B, LONG = sha256(b"a").hexdigest(), sha256(b"b").hexdigest(), sha512(b"a").hexdigest()


UPPER = A.upper()
SIGNED = (
    "-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA512\n\n{}\n-----BEGIN PGP SIGNATURE-----\n\niQEz\n-----END PGP SIGNATURE-----\n"
)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (f"{A}  disk.qcow2\n{B}  other.qcow2\n", PublishedDigest("sha256", A)),
        (f"{A} *disk.qcow2\r\n", PublishedDigest("sha256", A)),
        (f"{A} disk.qcow2", PublishedDigest("sha256", A)),
        (f"{A}\tdisk.qcow2", PublishedDigest("sha256", A)),
        (f"{A}  disk.qcow2   \t\n", PublishedDigest("sha256", A)),
        (f"  {A}  disk.qcow2\n", PublishedDigest("sha256", A)),
        (f"{A}  disk.qcow2\r{B}  other\r", PublishedDigest("sha256", A)),
        (f"\ufeff{A}  disk.qcow2\n", PublishedDigest("sha256", A)),
        (f"{UPPER}  disk.qcow2\n", PublishedDigest("sha256", A)),
        (f"{A}  ./disk.qcow2\n", PublishedDigest("sha256", A)),
        (f"{A}  -\n", PublishedDigest("sha256", A)),
        (f"SHA2-256(stdin)= {A}\n", PublishedDigest("sha256", A)),
        (f"# BLAKE2B HASH\n{'0' * 128}  disk.qcow2\n# SHA512 HASH\n{LONG}  disk.qcow2\n", PublishedDigest("sha512", LONG)),
        (f"# SHA512 HASH\n{LONG}  disk.qcow2\n# SHA256 HASH\n{A}  disk.qcow2\n", PublishedDigest("sha256", A)),
        (f"{A} *./././disk.qcow2\n", PublishedDigest("sha256", A)),
        (f"{A} *.\\disk.qcow2\n", PublishedDigest("sha256", A)),
        (f"{A}\n", PublishedDigest("sha256", A)),
        (f"# made today\n{UPPER}  \r\n\n", PublishedDigest("sha256", A)),
        (LONG, PublishedDigest("sha512", LONG)),
        (f"sha256:{A}  disk.qcow2\n", PublishedDigest("sha256", A)),
        (f"sha256:{A}\n", PublishedDigest("sha256", A)),
        (f"# disk.qcow2: 17 bytes\n; disk.qcow2\nSHA256 (disk.qcow2) = {UPPER}\n", PublishedDigest("sha256", A)),
        (f"SHA256 (./disk.qcow2) = {A}\n", PublishedDigest("sha256", A)),
        (f"SHA2-256(disk.qcow2)= {A}\nsha512(disk.qcow2)= {LONG}", PublishedDigest("sha256", A)),
        (f"SHA3-256 (disk.qcow2) = {B}\nSHA512/256 (disk.qcow2) = {B}\nSHA256 (disk.qcow2) = {A}", PublishedDigest("sha256", A)),
        (f"{LONG}  disk.qcow2\n", PublishedDigest("sha512", LONG)),
        (f"BLAKE2b (disk.qcow2) = {'1' * 128}\nSHA512 (disk.qcow2) = {LONG}\n", PublishedDigest("sha512", LONG)),
        (
            f"SHA512 (disk.qcow2) = {LONG}\n\nSHA256 (disk.qcow2) = {A}\nMD5 (disk.qcow2) = {'0' * 32}\n",
            PublishedDigest("sha256", A),
        ),
        (f"{A}  a/path/of/another.qcow2\n{B}  disk.qcow2\n", PublishedDigest("sha256", B)),
        (f"{A}  disk.qcow2\n{A}  disk.qcow2\nSHA256 (disk.qcow2) = {UPPER}\n", PublishedDigest("sha256", A)),
        (f"{B}  old/disk.qcow2\n{A}  disk.qcow2\n", PublishedDigest("sha256", A)),
        (f"Digests of release 12:\n{A}  disk.qcow2\n", PublishedDigest("sha256", A)),
        (f"{A[:-1]}  other.qcow2\n{A}  disk.qcow2\n", PublishedDigest("sha256", A)),
        (SIGNED.format(f"{A}  disk.qcow2\n- {B}  other"), PublishedDigest("sha256", A)),
        (SIGNED.format(A), PublishedDigest("sha256", A)),
    ],
)
def test_the_formats_of_publishers_are_parsed(text: str, found: PublishedDigest) -> None:
    assert find_digest(text.encode(), "disk.qcow2", "SHA256SUMS") == found


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-8-sig"])
def test_files_written_by_windows_are_parsed(encoding: str) -> None:
    assert find_digest(f"{UPPER} *disk.qcow2\r\n".encode(encoding), "disk.qcow2", "SHA256SUMS") == PublishedDigest("sha256", A)
    assert find_digest(b"\xfe\xff" + f"{A}  disk.qcow2".encode("utf-16-be"), "disk.qcow2", "SHA256SUMS") == PublishedDigest(
        "sha256", A
    )


@pytest.mark.parametrize(
    ("line", "path"),
    [
        (f"{A}  my disk (1).qcow2", "my disk (1).qcow2"),
        (f"SHA256 (my disk (1).qcow2) = {A}", "my disk (1).qcow2"),
        (f"\\{A}  back\\\\slash\\nline\\rend", "back\\slash\nline\rend"),
        (f"\\SHA256 (back\\\\slash) = {A}", "back\\slash"),
        (f"{A}  dänk.qcow2", "dänk.qcow2"),
        (f"{A}  images/disk.qcow2", "debian/images/disk.qcow2"),
        (f"{A}  ./images/disk.qcow2\n{B}  disk.qcow2", "debian/images/disk.qcow2"),
        (f"{A}  disk.qcow2\n{B}  images/disk.qcow2", "debian/other/disk.qcow2"),
    ],
)
def test_names_may_contain_folders(line: str, path: str) -> None:
    assert find_digest(line.encode(), path, "SHA256SUMS") == PublishedDigest("sha256", A)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "it is empty"),
        (" \r\n\n", "it is empty"),
        ("# nothing\n", "has no SHA-256 or SHA-512 of disk.qcow2; its files: none"),
        (f"# BLAKE2B HASH\n{LONG}  disk.qcow2\n", "the digest in line 2 is of an unsupported kind"),
        (f"{A}  -\n{B}  -\n", "line 1 has a digest without a name"),
        (f"{A}  other.qcow2\n", "has no SHA-256 or SHA-512 of disk.qcow2; its files: other.qcow2"),
        (f"{'0' * 32}  disk.qcow2\n{'0' * 40}  disk.qcow2\n", "the digest in line 1 is of an unsupported kind"),
        (f"BLAKE2b (disk.qcow2) = {LONG}\n", "the digest in line 1 is of an unsupported kind"),
        (f"{A}  disk.qcow2\n{B}  disk.qcow2\n", "lines 1 and 2 have different digests of disk.qcow2"),
        (f"{A}  disk.qcow2\n{B}  ./disk.qcow2\n", "lines 1 and 2 have different digests"),
        (f"{A}  ../../disk.qcow2\n", r"line 1 has disk.qcow2 in another folder \(\.\./\.\./disk"),
        (f"{A}  images/disk.qcow2\n", "line 1 has disk.qcow2 in another folder"),
        (f"{A}disk.qcow2\n", "line 1 mentions disk.qcow2, but is not a digest and a name"),
        (f"{A[:-1]}  disk.qcow2\n", "the digest of disk.qcow2 in line 1 has 63 digits"),
        (f"{A[:-1]}\n", "in line 1 has 63 digits"),
        (f"SHA512 (disk.qcow2) = {A}\n", "64 digits"),
        ("<html>404 Not Found</html>\n", "it is a web page"),
        ("\ufeff <!DOCTYPE html>\n", "it is a web page"),
        ("Not found\n", "and line 1 is not a digest and a name"),
        (f"disk.qcow2  {A}\n", "line 1 mentions disk.qcow2, but"),
        (f"{A}\n{B}\n", "line 1 has a digest without a name, which may be that of another file than disk.qcow2"),
        (f"{A}\n{B}  other.qcow2\n", "line 1 has a digest without a name"),
        (f"for which file?\n{A}\n", "line 2 has a digest without a name"),
    ],
)
def test_ambiguous_and_malformed_files_are_rejected(text: str, words: str) -> None:
    with pytest.raises(ImageError, match=words) as refused:
        find_digest(text.encode(), "disk.qcow2", "https://user:canary@images.example.org/SHA256SUMS?token=canary")
    assert "https://images.example.org/SHA256SUMS" in str(refused.value)
    assert "canary" not in str(refused.value)


def test_a_binary_file_is_rejected() -> None:
    for content in (b"\xff\xfe\0", b"\x89PNG", b"a\0\0"):
        with pytest.raises(ImageError, match="not a text"):
            find_digest(content, "disk.qcow2", "SHA256SUMS")


@given(st.binary(max_size=200) | st.text(max_size=200).map(lambda text: f"{A}  {text}".encode(errors="replace")))
def test_only_the_digest_of_the_file_is_ever_returned(text: bytes) -> None:
    try:
        found = find_digest(text, "disk.qcow2", "SHA256SUMS")
    except ImageError:
        return
    assert found == PublishedDigest("sha256", A)
