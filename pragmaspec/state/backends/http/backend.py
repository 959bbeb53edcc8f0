"""State on an HTTP server that speaks Terraform's protocol: GitLab, Gitea, or any other. One document holds everything.

The protocol has no compare-and-swap. What takes its place: the lock's ID goes with every write, so that the server refuses one
whose lock was taken away; every write is preceded by a look whether what stands there is still ours, and followed by one whether
ours has arrived; ``If-Match`` is sent where the server gives strong ETags; and ``serial`` grows with each write, so that GitLab
takes none twice.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from uuid import uuid4

from msgspec.structs import replace

from pragmaspec.errors import StateUnreachableError, UsageError
from pragmaspec.net.retry import RetryPolicy
from pragmaspec.net.urls import redact_url
from pragmaspec.state.backends.base import LockedBackend, LockHolder, RawState, StateVersion
from pragmaspec.state.backends.document import raw_state, snapshot_header
from pragmaspec.state.backends.http.client import HttpClient, HttpResponse, NoResponse
from pragmaspec.state.backends.http.config import http_config
from pragmaspec.state.backends.http.locked import LockedHttpBackend
from pragmaspec.state.backends.http.protocol import (
    CONFLICTS,
    DENIED,
    NO_CONTENT,
    NOT_FOUND,
    OK,
    fetch_document,
    no_response_error,
    refused_error,
    status_text,
    unlock,
)
from pragmaspec.state.backends.lock_info import LockInfo, decode_lock_info, encode_lock_info, forced_unlock_body, locked_error

_WAY_OUT = (
    "Wait until that run has ended. If it is dead for certain, take its lock away with `pragmaspec state unlock ID`: "
    "this kind of store cannot tell by itself."
)


class HttpBackend:
    """The state at ``url``. Raises UsageError for a URL that cannot be, or that holds credentials."""

    def __init__(self, url: str, patience: RetryPolicy | None = None, environ: Mapping[str, str] = os.environ) -> None:
        self._place = http_config(url, environ)
        self._patience = patience or RetryPolicy()
        self._environ = environ

    @property
    def title(self) -> str:
        """The URL without credentials."""
        return self._place.title

    def read(self) -> RawState:
        """What stands there now; nothing for 204, 404 and an empty answer, as Terraform has it."""
        with self._wire() as wire:
            document, _ = fetch_document(wire, self._place)
        return raw_state(document, self.title)

    def lock(self, holder: LockHolder) -> LockedBackend:
        """Take the lock. A refusal that shows our own ID comes from a repeated request: then it is ours."""
        holder = holder if holder.id else replace(holder, id=str(uuid4()))
        wire = HttpClient(self._place.address, self._patience, self._environ)
        try:
            note = self._take(wire, holder)
        except BaseException:
            wire.close()
            raise
        if note is not None:
            wire.close()
            raise locked_error(self.title, note, _WAY_OUT)
        return LockedHttpBackend(wire, self._place, holder, self._patience)

    def holder(self) -> LockHolder | None:
        """Who holds the lock. The protocol has no such question, so the lock is taken for a moment when it is free."""
        probe = LockHolder(pid=os.getpid(), user="", host="", since="", command="look who holds the lock", id=str(uuid4()))
        with self._wire() as wire:
            note = self._take(wire, probe)
            if note is not None:
                return note.holder
            unlock(wire, self._place, encode_lock_info(probe))
        return None

    def break_lock(self, lock_id: str) -> None:
        """Take the lock away from ``lock_id``; empty for one whose ID the server does not tell."""
        found = self.holder()
        if found is None or found.id != lock_id:
            now = f"it is locked by ID {found.id or '(not told)'}" if found else "it is not locked"
            raise UsageError("There is no such lock", f"{self.title}: {now}. Nothing was changed.")
        with self._wire() as wire:
            answer = unlock(wire, self._place, forced_unlock_body(lock_id))
        if answer is None or answer.status != OK:
            why = status_text(answer) if answer else "the server does not answer"
            raise StateUnreachableError("The lock cannot be taken away", f"{self.title}: {why}.")

    def history(self) -> tuple[StateVersion, ...]:
        """Only the snapshot that stands: the protocol keeps no others."""
        with self._wire() as wire:
            document, _ = fetch_document(wire, self._place)
        if document is None:
            return ()
        text = document.snapshot.encode()
        return (StateVersion(serial=snapshot_header(text).serial, written=document.written, size_bytes=len(text)),)

    def version(self, serial: int) -> bytes:
        """The snapshot that stands, when it has this serial."""
        snapshot = self.read().snapshot
        if snapshot is None or snapshot_header(snapshot).serial != serial:
            raise UsageError(
                "There is no such version",
                f"{self.title} does not hold serial {serial}, and this protocol knows no older ones. A GitLab server "
                "keeps them: Operate, Terraform states, the menu of the state.",
            )
        return snapshot

    def remove(self) -> None:
        """Remove the document. Nothing there: no error."""
        with self._wire() as wire:
            try:
                answer = wire.insist("DELETE", self._place.address)
            except NoResponse as error:
                raise no_response_error(self.title, error) from None
        if answer.status not in {OK, NO_CONTENT, NOT_FOUND}:
            raise refused_error(self.title, answer)

    @contextmanager
    def _wire(self) -> Iterator[HttpClient]:
        wire = HttpClient(self._place.address, self._patience, self._environ)
        try:
            yield wire
        finally:
            wire.close()

    def _take(self, wire: HttpClient, holder: LockHolder) -> LockInfo | None:
        """Take the lock for ``holder``; who has it already, when it is somebody else."""
        body = encode_lock_info(holder)
        try:
            answer = wire.insist(self._place.lock_method, self._place.lock_address, body)
        except NoResponse as error:
            unlock(wire, self._place, body)  # the request may have arrived; a lock nobody knows of would stay for ever
            raise no_response_error(self.title, error) from None
        if answer.status == OK:
            return None
        if answer.status in CONFLICTS:
            note = decode_lock_info(answer.body)
            return None if note.holder.id == holder.id else note
        if answer.status not in DENIED:
            unlock(wire, self._place, body)
        raise self._unlockable(answer)

    def _unlockable(self, answer: HttpResponse) -> StateUnreachableError:
        if answer.status in DENIED or answer.later:
            return refused_error(self.title, answer)
        place = self._place
        return StateUnreachableError(
            "The server does not lock",
            f"{self.title}: {place.lock_method} {redact_url(place.lock_address)} was answered with {status_text(answer)}, not "
            "with 200. pragmaspec does not work without a lock. Set PRAGMASPEC_HTTP_LOCK_ADDRESS, "
            "PRAGMASPEC_HTTP_UNLOCK_ADDRESS, PRAGMASPEC_HTTP_LOCK_METHOD and PRAGMASPEC_HTTP_UNLOCK_METHOD as the server "
            "wants them, and check that the credentials may write (in GitLab: the role Maintainer).",
        )
