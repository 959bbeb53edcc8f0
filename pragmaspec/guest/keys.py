"""Who may log in where: every ssh key of a stack, derived from the one secret that is kept outside the repository.

Each key is Ed25519, its seed is HKDF-SHA256 (RFC 5869) of the stack key, salt ``pragmaspec``, with these info strings (parts
joined by a zero byte, which no name can hold):

=============  ==============================================
operator key   ``pragmaspec operator key v1``
host key       ``pragmaspec host key v1``, lineage, node address
cluster key    ``pragmaspec cluster key v1``, site, cluster
=============  ==============================================

So keys never need to be stored or copied between the people of a stack, and none of them tells anything of another.

Ed25519 keys in the texts that OpenSSH reads. The same seed always gives the same bytes.

Format of private keys: ``PROTOCOL.key`` in the OpenSSH source (container ``openssh-key-v1``, cipher and KDF ``none``); of public
keys: RFC 4253, section 6.6, and RFC 8709, section 4. Two things are free there and are settled here: the check integer,
which OpenSSH draws at random only to tell a wrong passphrase (there is none), and the comment.
"""

from base64 import b64encode
from hashlib import sha256
from hmac import compare_digest
from hmac import digest as hmac_digest
from typing import final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from pragmaspec.frozen import Frozen
from pragmaspec.resources import Mark

_MAGIC = b"openssh-key-v1\0"
_KIND = b"ssh-ed25519"
_BLOCK = 8
_COLUMNS = 70


def key_texts(seed: bytes, comment: str) -> tuple[str, str]:
    """The private key file and the public key line (without comment) of the Ed25519 key with this 32-byte ``seed``."""
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


STACK_KEY_BYTES = 32

_SALT = b"pragmaspec"


@final
class StackKey:
    """The secret of a stack: 32 random bytes. Its text never shows it, and nothing gives it back.

    Raises ValueError when ``secret`` has another length. Not a Frozen value, so that no encoder can write it.
    """

    __slots__ = ("_secret",)

    def __init__(self, secret: bytes) -> None:
        if len(secret) != STACK_KEY_BYTES:
            raise ValueError(f"a stack key has {STACK_KEY_BYTES} bytes, not {len(secret)}")
        self._secret = bytes(secret)

    def derive(self, *info: str) -> bytes:
        """32 bytes that depend on the secret and on ``info``: HKDF-SHA256, one block of output."""
        pseudo_random_key = hmac_digest(_SALT, self._secret, sha256)
        return hmac_digest(pseudo_random_key, "\0".join(info).encode() + b"\x01", sha256)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, StackKey) and compare_digest(self._secret, other._secret)

    def __hash__(self) -> int:
        return hash(self.derive("pragmaspec hash"))

    def __repr__(self) -> str:
        return "StackKey(…)"

    def __reduce__(self) -> str:
        raise TypeError("a stack key is not written anywhere")


class KeyPair(Frozen, frozen=True):
    """An ssh key: ``private`` is the text of an OpenSSH private key file, ``public`` is ``ssh-ed25519 AAAA…`` without comment."""

    private: str
    public: str

    def __repr__(self) -> str:
        return f"KeyPair(private=…, public={self.public!r})"

    def __rich_repr__(self) -> list[tuple[str, str]]:
        return [("private", "…"), ("public", self.public)]


def operator_key(stack_key: StackKey) -> KeyPair:
    """The key pragmaspec itself logs in with, everywhere in the stack."""
    return _pair(stack_key, "pragmaspec-operator", "pragmaspec operator key v1")


def host_key(stack_key: StackKey, mark: Mark) -> KeyPair:
    """The host key of the node that ``mark`` names.

    The generation takes no part: a rebuilt node keeps its host key, so no peer's and no user's known hosts change with it.
    """
    return _pair(stack_key, "pragmaspec-host", "pragmaspec host key v1", mark.lineage, mark.address)


def cluster_key(stack_key: StackKey, site: str, cluster: str) -> KeyPair:
    """The key that root of each node of a cluster logs in with on the others."""
    return _pair(stack_key, "pragmaspec-cluster", "pragmaspec cluster key v1", site, cluster)


def _pair(stack_key: StackKey, comment: str, *info: str) -> KeyPair:
    # cryptography costs 35 ms to import, which a plan without changes need not pay.

    private, public = key_texts(stack_key.derive(*info), comment)
    return KeyPair(private=private, public=public)
