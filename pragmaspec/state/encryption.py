"""Encryption of a state: AES-256-GCM (NIST SP 800-38D) over the whole snapshot and over each write to the journal.

The key is derived from the stack key (HKDF-SHA256, info ``pragmaspec state v1`` and the lineage). Each text has its own random
nonce of 96 bits. What must be readable without the key remains in clear and is authenticated as associated data: format, kind,
lineage and serial of a snapshot; lineage and line numbers of a write to the journal. A text that was moved to another serial or
another stack therefore cannot be decrypted. ``key`` (8 digits) identifies the key without revealing anything of it, so that a
wrong key is distinguished from a modified text.
"""

from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from hashlib import sha256
from os import urandom

import msgspec
from msgspec.structs import replace

from pragmaspec.errors import StateUnreadableError
from pragmaspec.frozen import Frozen
from pragmaspec.guest.keys import StackKey
from pragmaspec.state_model import STATE_FORMAT

ENCRYPTED_PREFIX = b'{"sealed":'
"""The beginning of every encrypted line of a journal, and of no other line."""

_CIPHER = "aes-256-gcm"
_NONCE_BYTES = 12
_SUM = b',"sum":"%s"}'
_SUM_LENGTH = len(_SUM % b"") + 64


class EncryptedSnapshot(Frozen, frozen=True):
    """The file, key by key. ``sealed`` names the cipher, ``text`` is the encrypted ``state.json``."""

    format: int
    key: str
    kind: str
    lineage: str
    sealed: str
    serial: int
    text: str


class _EncryptedLine(Frozen, frozen=True):
    sealed: int
    batch: int
    last: int
    key: str
    text: str
    sum: str


class StateCipher:
    """Encrypts and decrypts the state of the stack ``lineage``."""

    def __init__(self, stack_key: StackKey, lineage: str) -> None:
        self._lineage = lineage
        self._key = stack_key.derive("pragmaspec state v1", lineage)
        self._key_name = stack_key.derive("pragmaspec state key name v1", lineage)[:4].hex()

    def encrypt_snapshot(self, text: bytes, serial: int) -> bytes:
        """Return the encrypted ``text`` of a ``state.json``."""
        head = EncryptedSnapshot(
            format=STATE_FORMAT,
            key=self._key_name,
            kind="pragmaspec",
            lineage=self._lineage,
            sealed=_CIPHER,
            serial=serial,
            text="",
        )
        encrypted = replace(head, text=self._encrypt(text, _snapshot_associated_data(head)))
        return msgspec.json.format(msgspec.json.encode(encrypted), indent=1) + b"\n"

    def encrypt_lines(self, text: bytes, first_seq: int, last_seq: int) -> bytes:
        """Return one line that contains ``text``, the lines ``first_seq`` to ``last_seq`` of a journal."""
        encrypted = self._encrypt(text, self._lines_associated_data(first_seq, last_seq)).encode()
        body = b'%s1,"batch":%d,"last":%d,"key":"%s","text":"%s"' % (
            ENCRYPTED_PREFIX,
            first_seq,
            last_seq,
            self._key_name.encode(),
            encrypted,
        )
        return body + _SUM % sha256(body + b"}").hexdigest().encode() + b"\n"

    def decrypt_snapshot(self, snapshot: EncryptedSnapshot, file: str) -> bytes:
        """Return the text in ``snapshot``, the content of ``file``. Raises StateUnreadableError."""
        if snapshot.sealed != _CIPHER or snapshot.format > STATE_FORMAT:
            raise StateUnreadableError(
                "The state has a newer format",
                f"{file} has format {snapshot.format} and is encrypted by {snapshot.sealed}; this pragmaspec reads formats up to "
                f"{STATE_FORMAT}, encrypted by {_CIPHER}. Install the version that wrote it, or a later one. Nothing was "
                "changed.",
            )
        self._check_key_name(snapshot.key, file)
        return self._decrypt(snapshot.text, _snapshot_associated_data(snapshot), file)

    def decrypt_journal(self, data: bytes, file: str) -> bytes:
        """Return ``data``, the content of the journal ``file``, with all encrypted lines decrypted.

        A line with a wrong checksum stays as it is; the parser decides, as for any other line, whether it is torn or damaged.
        """
        return b"\n".join(
            [self._decrypt_line(line, file) if line.startswith(ENCRYPTED_PREFIX) else line for line in data.split(b"\n")]
        )

    def _decrypt_line(self, line: bytes, file: str) -> bytes:
        body, ending = line[:-_SUM_LENGTH], line[-_SUM_LENGTH:]
        if ending != _SUM % sha256(body + b"}").hexdigest().encode():
            return line
        try:
            encrypted = msgspec.json.decode(line, type=_EncryptedLine)
        except msgspec.MsgspecError as error:
            raise StateUnreadableError(
                "The journal was written by another version of pragmaspec",
                f"{file} is intact, but this pragmaspec does not understand it: {error}. Finish the interrupted run with the "
                "version that began it. Nothing was changed.",
            ) from error
        self._check_key_name(encrypted.key, file)
        associated_data = self._lines_associated_data(encrypted.batch, encrypted.last)
        return self._decrypt(encrypted.text, associated_data, file).removesuffix(b"\n")

    def _lines_associated_data(self, first_seq: int, last_seq: int) -> bytes:
        return f"pragmaspec journal 1\0{self._lineage}\0{first_seq}\0{last_seq}".encode()

    def _check_key_name(self, name: str, file: str) -> None:
        if name != self._key_name:
            raise StateUnreadableError(
                "The state is encrypted with another key",
                f"{file} was encrypted with key {name}, but the key of this stack on this machine is {self._key_name}. Get the "
                "correct one from a colleague: `pragmaspec key export` there, `pragmaspec key import` here. Nothing was changed.",
            )

    def _encrypt(self, text: bytes, associated_data: bytes) -> str:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415 - 30 ms, only for encrypted states

        nonce = urandom(_NONCE_BYTES)
        return b64encode(nonce + AESGCM(self._key).encrypt(nonce, text, associated_data)).decode()

    def _decrypt(self, text: str, associated_data: bytes, file: str) -> bytes:
        from cryptography.exceptions import InvalidTag  # noqa: PLC0415 - see _encrypt
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415

        try:
            data = b64decode(text, validate=True)
            return AESGCM(self._key).decrypt(data[:_NONCE_BYTES], data[_NONCE_BYTES:], associated_data)
        except (InvalidTag, Base64Error, ValueError) as error:
            raise StateUnreadableError(
                "The encrypted state was changed",
                f"{file} cannot be decrypted, although the key is the right one: its text, serial or lineage was changed after "
                "it was encrypted, or is that of another state. Restore the last good version: `pragmaspec state history` lists "
                "those that are kept. Nothing was changed.",
            ) from error


def parse_encrypted(data: bytes) -> EncryptedSnapshot | None:
    """Return the encrypted snapshot in ``data``; None for other data, also if it is too damaged to be recognised."""
    try:
        return msgspec.json.decode(data, type=EncryptedSnapshot)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


def _snapshot_associated_data(head: EncryptedSnapshot) -> bytes:
    return msgspec.json.encode(replace(head, text=""))
