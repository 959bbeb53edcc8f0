import json
import pickle
import subprocess
from pathlib import Path

import msgspec
import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from hypothesis import given, settings
from hypothesis import strategies as st

from pragmaspec.guest.keys import KeyPair, StackKey, cluster_key, host_key, operator_key
from pragmaspec.resources import Mark

LINEAGE = "3f9a1c2b-5d0e-4c1a-9b7e-0123456789ab"


def mark(address: str, generation: int = 0) -> Mark:
    return Mark(lineage=LINEAGE, address=address, generation=generation)


def every_kind(key: StackKey) -> list[KeyPair]:
    return [
        operator_key(key),
        cluster_key(key, "lab", "hello"),
        cluster_key(key, "lab", "other"),
        cluster_key(key, "lab2", "hello"),
        host_key(key, mark("lab/hello/node/a")),
        host_key(key, mark("lab/hello/node/b")),
    ]


def test_a_stack_key_is_never_revealed() -> None:
    secret = b"0123456789abcdefghijklmnopqrstuv"
    key = StackKey(secret)
    for text in (repr(key), str(key), f"{key}", "%s" % (key,)):  # noqa: UP031 - one of the ways a log line is made
        assert secret.decode()[:6] not in text
        assert secret.hex()[:6] not in text
    with pytest.raises(TypeError):
        pickle.dumps(key)
    with pytest.raises(TypeError):
        msgspec.json.encode(key)


def test_a_stack_key_has_32_bytes() -> None:
    with pytest.raises(ValueError, match="32 bytes, not 31"):
        StackKey(bytes(31))


def test_stack_keys_compare_by_value() -> None:
    assert StackKey(bytes(32)) == StackKey(bytearray(32))
    assert hash(StackKey(bytes(32))) == hash(StackKey(bytes(32)))
    assert StackKey(bytes(32)) != StackKey(b"\x01" * 32)
    assert StackKey(bytes(32)) != bytes(32)


@settings(deadline=None)
@given(secret=st.binary(min_size=32, max_size=32), info=st.lists(st.text(min_size=1), min_size=1, max_size=4))
def test_keys_are_derived_with_hkdf_sha256(secret: bytes, info: list[str]) -> None:
    reference = HKDF(hashes.SHA256(), 32, b"pragmaspec", "\0".join(info).encode())
    assert StackKey(secret).derive(*info) == reference.derive(secret)


def test_the_repr_of_a_key_pair_omits_the_private_key(stack_key: StackKey) -> None:
    pair = operator_key(stack_key)
    body = pair.private.splitlines()[3]
    assert body not in repr(pair)
    assert body not in str(pair)
    assert body not in json.dumps(pair.__rich_repr__())
    assert pair.public in repr(pair)


def test_keys_are_deterministic_and_distinct(stack_key: StackKey) -> None:
    assert every_kind(stack_key) == every_kind(StackKey(bytes(range(32))))
    pairs = every_kind(stack_key) + every_kind(StackKey(b"x" * 32))
    assert len({pair.private for pair in pairs}) == len({pair.public for pair in pairs}) == len(pairs)


def test_derived_keys_never_change(stack_key: StackKey) -> None:
    """Running nodes have these keys: another derivation would lock out their users."""
    assert [pair.public[37:57] for pair in every_kind(stack_key)] == EXPECTED


EXPECTED = [
    "BcvxZB3Qrf88HKgA7wjy",
    "JmMAsrfUVCFgrSCOYqBL",
    "H6QoQsOhuDywrsfQYxEk",
    "CNg6xQFTpo9KA/najeKe",
    "D6KDTFl27Rkwd1Yx4wqy",
    "HoCZI8Q0AZrUYHvHsLra",
]


def test_a_rebuilt_node_keeps_its_host_key(stack_key: StackKey) -> None:
    assert host_key(stack_key, mark("lab/hello/node/a")) == host_key(stack_key, mark("lab/hello/node/a", 7))


def test_openssh_derives_the_public_key_from_the_private_key(stack_key: StackKey, tmp_path: Path) -> None:
    for number, pair in enumerate(every_kind(stack_key)):
        file = tmp_path / f"key{number}"
        file.write_text(pair.private)
        file.chmod(0o600)
        done = subprocess.run(["ssh-keygen", "-y", "-f", file], capture_output=True, text=True, check=True)
        assert done.stdout.split()[:2] == pair.public.split()


def test_cryptography_derives_the_public_key_from_the_private_key(stack_key: StackKey) -> None:
    for pair in every_kind(stack_key):
        key = serialization.load_ssh_private_key(pair.private.encode(), None)
        public = key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
        assert public.decode() == pair.public
