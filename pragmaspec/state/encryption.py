"""An encrypted state: AES-256-GCM (NIST SP 800-38D) over the whole snapshot and over each write to the journal.

The key is derived from the stack key (HKDF-SHA256, info ``pragmaspec state v1`` and the lineage), each seal has its own 96 random
bits as nonce. What must be read without the key stays in clear and is bound to the text as associated data: format, kind, lineage
and serial of a snapshot; lineage and line numbers of a write to the journal. So a text that was put under another serial, or into
another stack, does not open. ``key`` (8 digits) names the key without telling anything of it, so that a wrong key is told from a
changed text.
"""

from base64 import b64decode, b64encode
from binascii import Error as NotBase64
from hashlib import sha256
from os import urandom

import msgspec
from msgspec.structs import replace

from pragmaspec.errors import StateUnreadableError
from pragmaspec.frozen import Frozen
from pragmaspec.guest.keys import StackKey
from pragmaspec.state_model import STATE_FORMAT

ENCRYPTED_PREFIX = b'{"sealed":'
"""How a sealed line of a journal begins; no other line does."""

_CIPHER = "aes-256-gcm"
_NONCE_BYTES = 12
_SUM = b',"sum":"%s"}'
_SUM_LENGTH = len(_SUM % b"") + 64


class EncryptedSnapshot(Frozen, frozen=True):
    """The file, key by key."""

    format: int
    key: str
    kind: str
    lineage: str
    sealed: str
    serial: int
    text: str


class _SealedLine(Frozen, frozen=True):
    sealed: int
    batch: int
    last: int
    key: str
    text: str
    sum: str


class StateCipher:
    """Encrypts and opens what is recorded of the stack ``lineage``."""

    def __init__(self, stack_key: StackKey, lineage: str) -> None:
        self._lineage = lineage
        self._key = stack_key.derive("pragmaspec state v1", lineage)
        self._name = stack_key.derive("pragmaspec state key name v1", lineage)[:4].hex()

    def snapshot(self, text: bytes, serial: int) -> bytes:
        """``text`` of a ``state.json``, encrypted."""
        head = EncryptedSnapshot(
            format=STATE_FORMAT, key=self._name, kind="pragmaspec", lineage=self._lineage, sealed=_CIPHER, serial=serial, text=""
        )
        sealed = replace(head, text=self._encrypt(text, _bound_snapshot(head)))
        return msgspec.json.format(msgspec.json.encode(sealed), indent=1) + b"\n"

    def lines(self, text: bytes, first_seq: int, last_seq: int) -> bytes:
        """One line that holds ``text``, which is the lines ``first_seq`` to ``last_seq`` of a journal."""
        sealed = self._encrypt(text, self._bound_lines(first_seq, last_seq)).encode()
        body = b'%s1,"batch":%d,"last":%d,"key":"%s","text":"%s"' % (
            ENCRYPTED_PREFIX,
            first_seq,
            last_seq,
            self._name.encode(),
            sealed,
        )
        return body + _SUM % sha256(body + b"}").hexdigest().encode() + b"\n"

    def open_snapshot(self, sealed: EncryptedSnapshot, file: str) -> bytes:
        """The text in ``sealed``, the content of ``file``. Raises StateUnreadableError."""
        if sealed.sealed != _CIPHER or sealed.format > STATE_FORMAT:
            raise _unreadable(
                "The state has a newer format",
                f"{file} has format {sealed.format} and is encrypted by {sealed.sealed}; this pragmaspec reads formats up to "
                f"{STATE_FORMAT}, encrypted by {_CIPHER}. Install the version that wrote it, or a later one.",
            )
        self._check_name(sealed.key, file)
        return self._decrypt(sealed.text, _bound_snapshot(sealed), file)

    def open_journal(self, data: bytes, file: str) -> bytes:
        """``data``, the content of the journal ``file``, with every sealed line in it opened.

        A line whose checksum is wrong stays as it is: whether it was torn or damaged is found out as for any other line.
        """
        return b"\n".join([self._opened(line, file) if line.startswith(ENCRYPTED_PREFIX) else line for line in data.split(b"\n")])

    def _opened(self, line: bytes, file: str) -> bytes:
        body, ending = line[:-_SUM_LENGTH], line[-_SUM_LENGTH:]
        if ending != _SUM % sha256(body + b"}").hexdigest().encode():
            return line
        try:
            sealed = msgspec.json.decode(line, type=_SealedLine)
        except msgspec.MsgspecError as error:
            raise _unreadable(
                "The journal was written by another version of pragmaspec",
                f"{file} is whole, but this pragmaspec does not understand it: {error}. Finish the interrupted run with the "
                "version that began it.",
            ) from error
        self._check_name(sealed.key, file)
        return self._decrypt(sealed.text, self._bound_lines(sealed.batch, sealed.last), file).removesuffix(b"\n")

    def _bound_lines(self, first_seq: int, last_seq: int) -> bytes:
        return f"pragmaspec journal 1\0{self._lineage}\0{first_seq}\0{last_seq}".encode()

    def _check_name(self, name: str, file: str) -> None:
        if name != self._name:
            raise _unreadable(
                "The state is encrypted with another key",
                f"{file} was encrypted with key {name}, and the key of this stack on this machine is {self._name}. Get the right "
                "one from a colleague: `pragmaspec key export` there, `pragmaspec key import` here.",
            )

    def _encrypt(self, text: bytes, bound: bytes) -> str:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415 - 30 ms, only for who encrypts

        nonce = urandom(_NONCE_BYTES)
        return b64encode(nonce + AESGCM(self._key).encrypt(nonce, text, bound)).decode()

    def _decrypt(self, text: str, bound: bytes, file: str) -> bytes:
        from cryptography.exceptions import InvalidTag  # noqa: PLC0415 - see _encrypt
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415

        try:
            data = b64decode(text, validate=True)
            return AESGCM(self._key).decrypt(data[:_NONCE_BYTES], data[_NONCE_BYTES:], bound)
        except (InvalidTag, NotBase64, ValueError) as error:
            raise _unreadable(
                "The encrypted state was changed",
                f"{file} does not open, although the key is the right one: its text, serial or lineage was changed after it "
                "was encrypted, or belongs to another state. Put back the last good version: `pragmaspec state history` "
                "shows what is kept.",
            ) from error


def parse_encrypted(data: bytes) -> EncryptedSnapshot | None:
    """The encrypted snapshot in ``data``; None when it is none, or too damaged to tell."""
    try:
        return msgspec.json.decode(data, type=EncryptedSnapshot)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


def _bound_snapshot(head: EncryptedSnapshot) -> bytes:
    return msgspec.json.encode(replace(head, text=""))


def _unreadable(summary: str, detail: str) -> StateUnreadableError:
    return StateUnreadableError(summary, f"{detail} Nothing was changed.")
