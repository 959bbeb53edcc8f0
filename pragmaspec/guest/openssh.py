"""Ed25519 keys in the texts that OpenSSH reads. The same seed always gives the same bytes.

Format of private keys: ``PROTOCOL.key`` in the OpenSSH source (container ``openssh-key-v1``, cipher and KDF ``none``); of public
keys: RFC 4253, section 6.6, and RFC 8709, section 4. Two things are free there and are settled here: the check integer,
which OpenSSH draws at random only to tell a wrong passphrase (there is none), and the comment.
"""

from base64 import b64encode
from hashlib import sha256

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

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
