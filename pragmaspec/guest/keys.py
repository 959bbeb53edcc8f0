"""The ssh keys of a stack, derived from one secret that is kept outside the repository.

Each key is an Ed25519 key whose seed is HKDF-SHA256 (RFC 5869) of the stack key, with the salt ``pragmaspec`` and these info
strings (parts joined by a zero byte, which names cannot contain):

=============  ==============================================
operator key   ``pragmaspec operator key v1``
host key       ``pragmaspec host key v1``, lineage, node address
cluster key    ``pragmaspec cluster key v1``, site, cluster
=============  ==============================================

So keys are neither stored nor copied between the users of a stack, and one key reveals nothing about another.

Keys are encoded deterministically in OpenSSH's formats. Private keys: ``PROTOCOL.key`` in the OpenSSH source (container
``openssh-key-v1``, cipher and KDF ``none``). Public keys: RFC 4253, section 6.6, and RFC 8709, section 4. The check integer,
which OpenSSH chooses at random to detect a wrong passphrase, is derived from the public key, because there is no passphrase.
"""

from base64 import b64encode
from hashlib import sha256
from hmac import compare_digest
from hmac import digest as hmac_digest
from typing import final

from pragmaspec.frozen import Frozen
from pragmaspec.resources import Mark
from pragmaspec.typing import override

STACK_KEY_BYTES = 32
_SALT = b"pragmaspec"
_MAGIC = b"openssh-key-v1\0"
_KIND = b"ssh-ed25519"
_BLOCK = 8
_COLUMNS = 70


@final
class StackKey:
    """The secret of a stack: 32 random bytes. It cannot be read back, and ``str`` and ``repr`` do not reveal it.

    Raises ValueError for a ``secret`` of another length. Not a Frozen value, so that no encoder can write it.
    """

    __slots__ = ("_secret",)

    def __init__(self, secret: bytes) -> None:
        if len(secret) != STACK_KEY_BYTES:
            raise ValueError(f"a stack key has {STACK_KEY_BYTES} bytes, not {len(secret)}")
        self._secret = bytes(secret)

    def derive(self, *info: str) -> bytes:
        """Return 32 bytes derived from the secret and ``info`` with HKDF-SHA256 (one block of output)."""
        pseudo_random_key = hmac_digest(_SALT, self._secret, sha256)
        return hmac_digest(pseudo_random_key, "\0".join(info).encode() + b"\x01", sha256)

    @override
    def __eq__(self, other: object) -> bool:
        return isinstance(other, StackKey) and compare_digest(self._secret, other._secret)

    @override
    def __hash__(self) -> int:
        return hash(self.derive("pragmaspec hash"))

    @override
    def __repr__(self) -> str:
        return "StackKey(…)"

    @override
    def __reduce__(self) -> str:
        raise TypeError("a stack key cannot be serialised")


class KeyPair(Frozen, frozen=True):
    """An ssh key pair: ``private`` is the content of an OpenSSH private key file, ``public`` is ``ssh-ed25519 AAAA…``."""

    private: str
    public: str

    @override
    def __repr__(self) -> str:
        return f"KeyPair(private=…, public={self.public!r})"

    @override
    def __rich_repr__(self) -> list[tuple[str, str]]:
        return [("private", "…"), ("public", self.public)]


def operator_key(stack_key: StackKey) -> KeyPair:
    """Return the key with which pragmaspec logs in to all nodes of the stack."""
    return _pair(stack_key, "pragmaspec-operator", "pragmaspec operator key v1")


def host_key(stack_key: StackKey, mark: Mark) -> KeyPair:
    """Return the host key of the node identified by ``mark``.

    It does not depend on the generation: a rebuilt node keeps its host key, so that known_hosts files stay valid.
    """
    return _pair(stack_key, "pragmaspec-host", "pragmaspec host key v1", mark.lineage, mark.address)


def cluster_key(stack_key: StackKey, site: str, cluster: str) -> KeyPair:
    """Return the key with which root of each node of a cluster logs in to the other nodes."""
    return _pair(stack_key, "pragmaspec-cluster", "pragmaspec cluster key v1", site, cluster)


def _pair(stack_key: StackKey, comment: str, *info: str) -> KeyPair:
    private, public = _key_texts(stack_key.derive(*info), comment)
    return KeyPair(private=private, public=public)


def _key_texts(seed: bytes, comment: str) -> tuple[str, str]:
    """Return the private key file and the public key line (without comment) of the Ed25519 key with this 32-byte ``seed``."""
    # Importing cryptography takes 35 ms, and a plan without changes needs no keys.
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey  # noqa: PLC0415

    point = Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()
    blob = _string(_KIND) + _string(point)
    return _private_text(seed, point, blob, comment), f"{_KIND.decode()} {b64encode(blob).decode()}"


def _private_text(seed: bytes, point: bytes, blob: bytes, comment: str) -> str:
    check = sha256(blob).digest()[:4]
    secret = check + check + blob + _string(seed + point) + _string(comment.encode())
    secret += bytes(range(1, -len(secret) % _BLOCK + 1))
    outer = _MAGIC + _string(b"none") + _string(b"none") + _string(b"") + (1).to_bytes(4) + _string(blob) + _string(secret)
    body = b64encode(outer).decode()
    lines = [body[at : at + _COLUMNS] for at in range(0, len(body), _COLUMNS)]
    return "\n".join(("-----BEGIN OPENSSH PRIVATE KEY-----", *lines, "-----END OPENSSH PRIVATE KEY-----", ""))


def _string(data: bytes) -> bytes:
    return len(data).to_bytes(4) + data
