"""Public key parsing, compared with ``ssh-keygen``."""

import subprocess
from base64 import b64decode, b64encode
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pragmaspec.spec.fields.public_key import KEY_TYPES, NotAKeyError, PublicKey, holds_private_key, public_key, public_keys
from pragmaspec.spec.fields.ssh_keys import is_key_file

ED25519 = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIH9Yjg9kzSiIVvWKBCoOILDlQsXGBhxjJbfRVbd9pEtU"


def string(data: bytes) -> bytes:
    return len(data).to_bytes(4) + data


def line(kind: str, *fields: bytes) -> str:
    return f"{kind} {b64encode(b''.join(map(string, (kind.encode(), *fields)))).decode()}"


def generate_key(tmp_path: Path, *arguments: str) -> str:
    file = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-N", "", "-C", "ada", "-f", str(file), *arguments], check=True, capture_output=True)
    return (tmp_path / "key.pub").read_text()


def openssh_accepts(tmp_path: Path, text: bytes) -> bool:
    file = tmp_path / "asked.pub"
    file.write_bytes(text)
    return subprocess.run(["ssh-keygen", "-l", "-f", str(file)], check=False, capture_output=True).returncode == 0


KINDS = [
    ("-t", "ed25519"),
    ("-t", "rsa", "-b", "1024"),
    ("-t", "rsa", "-b", "3072"),
    *(("-t", "ecdsa", "-b", bits) for bits in ("256", "384", "521")),
]
POINT = b"\x04" + bytes(64)
HARDWARE = [
    line("sk-ssh-ed25519@openssh.com", bytes(32), b"ssh:"),
    line("sk-ecdsa-sha2-nistp256@openssh.com", b"nistp256", POINT, b"ssh:"),
]


@pytest.mark.parametrize("arguments", KINDS, ids=" ".join)
def test_keys_generated_by_openssh_are_valid(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    text = generate_key(tmp_path, *arguments)
    assert openssh_accepts(tmp_path, text.encode())
    assert public_key(text.rstrip("\n")).line == text.rstrip("\n")
    (certified,) = _certified(tmp_path)
    assert certified.certificate
    kind, data, _ = text.split()
    for end in (len(data) // 2, len(data) - 4, 20):
        truncated = f"{kind} {data[: end - end % 4]}"
        assert not openssh_accepts(tmp_path, truncated.encode())
        with pytest.raises(NotAKeyError, match="damaged or truncated"):
            public_key(truncated)


def _certified(tmp_path: Path) -> list[PublicKey]:
    if not (tmp_path / "ca").exists():
        subprocess.run(["ssh-keygen", "-q", "-N", "", "-f", str(tmp_path / "ca")], check=True, capture_output=True)
    subprocess.run(
        ["ssh-keygen", "-q", "-s", str(tmp_path / "ca"), "-I", "ada", "-n", "root", str(tmp_path / "key.pub")],
        check=True,
        capture_output=True,
    )
    text = (tmp_path / "key-cert.pub").read_text()
    assert openssh_accepts(tmp_path, text.encode())
    return [key for _, key in public_keys(text) if isinstance(key, PublicKey)]


@pytest.mark.parametrize("text", HARDWARE)
def test_hardware_keys_are_valid(text: str) -> None:
    assert public_key(text).line == text
    assert not public_key(text).certificate


@pytest.mark.parametrize(
    "text",
    [
        ED25519,
        f"{ED25519} jörg@büro",
        f"{ED25519} 日本 語, and a # mark",
        f"  \t{ED25519}\t a  b ",
        f'from="10.0.0.0/8,!10.1.2.3" {ED25519} ada',
        f'restrict,pty,command="echo \\"a b\\"" {ED25519} ada my.pub',
        f"no-port-forwarding,NO-PTY {ED25519}",
        f'cert-authority,principals="root,ada" {ED25519}',
        f"{ED25519} of the PRIVATE KEY owner",
    ],
)
def test_lines_accepted_by_openssh_are_valid(tmp_path: Path, text: str) -> None:
    assert openssh_accepts(tmp_path, text.encode())
    key = public_key(text)
    assert (key.kind, key.data) == tuple(ED25519.split())
    assert public_key(key.line) == key
    assert not is_key_file(text)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", ""),
        ("oops", ""),
        ("ssh-rsa", "damaged"),
        ("ssh-rsa oops", "damaged"),
        ("ssh-ed25518 AAAA", "did you mean `ssh-ed25519`"),
        ("ssh-zzzzzzzzzz AAAA", "is not a key type of OpenSSH"),
        (line("ssh-dss", b"p", b"q", b"g", b"y"), "DSA"),
        (line("ssh-rsa", b"\x03", bytes([127] * 64)), "RSA key of 511 bits"),
        (ED25519.replace("ssh-ed25519", "ssh-rsa"), "a key of type `ssh-ed25519`"),
        (line("ssh-ed25519", bytes(31)), "damaged"),
        (line("ssh-ed25519", bytes(32), b"more"), "damaged"),
        (line("ecdsa-sha2-nistp256", b"nistp384", POINT), "damaged"),
        (line("ecdsa-sha2-nistp256", b"nistp256", b"\x02" + bytes(64)), "damaged"),
        (f"ssh-ed25519 {b64encode(string(b'other')).decode()}", "damaged"),
        (f'form="x" {ED25519}', "did you mean `from`"),
        (f'"x {ED25519}', ""),
        ('a="' + '\\"' * 1000, ""),
        (f"command {ED25519}", "options are invalid"),
        (f'pty="x" {ED25519}', "options are invalid"),
        (f"=,, {ED25519}", "options are invalid"),
    ],
)
def test_invalid_keys_are_rejected_with_a_reason(text: str, reason: str) -> None:
    with pytest.raises(NotAKeyError, match=reason or "^$"):
        public_key(text)


def test_key_files_may_have_comments_and_any_line_ends() -> None:
    text = f"# ours\r\n\r\n{ED25519} ada\r\n \t# more\n\n  {ED25519} bob"
    assert [(at, key.line) for at, key in public_keys(text) if isinstance(key, PublicKey)] == [
        (3, f"{ED25519} ada"),
        (6, f"{ED25519} bob"),
    ]


@pytest.mark.parametrize(("form", "option"), [("RFC4716", ""), ("PEM", " -m PEM"), ("PKCS8", " -m PKCS8")])
def test_other_key_formats_are_rejected_with_a_conversion_command(tmp_path: Path, form: str, option: str) -> None:
    generate_key(tmp_path, "-t", "rsa", "-b", "1024")
    done = subprocess.run(
        ["ssh-keygen", "-e", "-m", form, "-f", str(tmp_path / "key.pub")], check=True, capture_output=True, text=True
    )
    ((position, error),) = public_keys(f"\n{done.stdout}")
    assert position == 2
    assert f"`ssh-keygen -i{option} -f FILE > FILE.pub`" in str(error)
    (tmp_path / "other").write_text(done.stdout)
    back = subprocess.run(
        ["ssh-keygen", "-i", *option.split(), "-f", str(tmp_path / "other")], check=True, capture_output=True, text=True
    )
    assert public_key(back.stdout.strip()).kind == "ssh-rsa"


def test_private_keys_of_all_formats_are_detected(tmp_path: Path) -> None:
    for form in ("RFC4716", "PEM", "PKCS8"):
        file = tmp_path / form
        subprocess.run(["ssh-keygen", "-q", "-t", "rsa", "-b", "1024", "-N", "", "-m", form, "-f", str(file)], check=True)
        text = file.read_text()
        assert holds_private_key(text)
    assert holds_private_key("PuTTY-User-Key-File-3: ssh-ed25519\nEncryption: none\n")
    assert holds_private_key("ssh-ed25519 b3BlbnNzaC1rZXktdjEAAAAABG5vbmU= ada")
    assert not holds_private_key(f"{ED25519} PRIVATE KEY")


def test_control_characters_are_removed_from_comments() -> None:
    assert public_key(f"{ED25519} a\r\nssh-rsa b\x1b[31m\u202e").line == f"{ED25519} a  ssh-rsa b[31m"


@pytest.mark.parametrize(
    ("entry", "path"),
    [("a.pub", True), ("~/.ssh/authorized_keys", True), ("team.keys", True), ("id_ed25519", False), ("a.pub\nb.pub", False)],
)
def test_paths_of_key_files_are_recognised(entry: str, path: bool) -> None:
    assert is_key_file(entry) is path
    assert not is_key_file(f"{ED25519} {entry}")


@given(st.sampled_from(KEY_TYPES) | st.just('from="x"'), st.binary(max_size=80), st.text(max_size=10))
def test_arbitrary_keys_are_parsed_or_rejected(kind: str, data: bytes, comment: str) -> None:
    for body in (data, string(kind.encode()) + data, b64decode(ED25519.split()[1])[:-4] + data):
        for _, key in public_keys(f"{kind} {b64encode(body).decode()} {comment}"):
            if isinstance(key, PublicKey):
                assert public_key(key.line) == key
