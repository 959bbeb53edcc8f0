"""Who may log in where: every ssh key of a stack, derived from the one secret that is kept outside the repository.

Each key is Ed25519, its seed is HKDF-SHA256 (RFC 5869) of the stack key, salt ``pragmaspec``, with these info strings (parts
joined by a zero byte, which no name can hold):

=============  ==============================================
operator key   ``pragmaspec operator key v1``
host key       ``pragmaspec host key v1``, lineage, node address
cluster key    ``pragmaspec cluster key v1``, site, cluster
=============  ==============================================

So keys never need to be stored or copied between the people of a stack, and none of them tells anything of another.
"""

from hashlib import sha256
from hmac import compare_digest
from hmac import digest as hmac_digest
from typing import final

from pragmaspec.frozen import Frozen
from pragmaspec.recorded import Mark

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
    from pragmaspec.guest.openssh import key_texts  # noqa: PLC0415

    private, public = key_texts(stack_key.derive(*info), comment)
    return KeyPair(private=private, public=public)
