"""A state on an HTTP server whose lock this process holds."""

from typing import NamedTuple

from msgspec.structs import replace

from pragmaspec.errors import StateLockLostError, StateUnreachableError, StateUnwritableError
from pragmaspec.net.retry import RetryPolicy
from pragmaspec.state.backends.base import LockHolder, RawState, WriteFence
from pragmaspec.state.backends.document import StateDocument, decode_document, encode_document, new_document, raw_state, timestamp
from pragmaspec.state.backends.http.client import HttpClient, HttpResponse, NoResponse
from pragmaspec.state.backends.http.config import HttpConfig
from pragmaspec.state.backends.http.protocol import (
    CONFLICTS,
    CREATED,
    NO_CONTENT,
    NOT_FOUND,
    NOT_MODIFIED,
    OK,
    UNPROCESSABLE,
    fetch_document,
    refused_error,
    status_text,
    unlock,
)
from pragmaspec.state.backends.lock_info import encode_lock_info


class _Seen(NamedTuple):
    """What stood there when it was last read or written."""

    document: StateDocument | None
    etag: str


class LockedHttpBackend:
    """Made by :meth:`pragmaspec.state.backends.http.backend.HttpBackend.lock`."""

    def __init__(self, wire: HttpClient, place: HttpConfig, holder: LockHolder, patience: RetryPolicy) -> None:
        self._wire = wire
        self._place = place
        self._holder = holder
        self._patience = patience
        self._seen: _Seen | None = None
        self._extends = 0
        self._last: tuple[int, bytes] | None = None
        self._ending = WriteFence(place.title)
        self._released = False

    def read(self) -> RawState:
        """What stands there now."""
        document, answer = fetch_document(self._wire, self._place)
        self._seen = _Seen(document, answer.etag)
        return raw_state(document, self._place.title)

    def begin_journal(self, serial: int) -> None:
        """Journal lines extend snapshot ``serial`` from now on. Writes nothing."""
        self._extends = serial

    def append(self, lines: bytes, first_seq: int, room_bytes: int) -> None:
        """Write the document with ``lines`` at the end of its journal. No room can be set aside on a server."""
        del room_bytes
        if self._last == (first_seq, lines) and not self._ending.closed:
            return
        before = self._standing().document
        if before is None:
            raise self._ending.close(StateUnwritableError, "there is no snapshot that a journal could extend")
        if before.journal and before.journal_serial != self._extends:
            raise self._ending.close(StateUnwritableError, "there are journal lines that no snapshot covers")
        self._write(self._next(before, self._extends, before.journal + lines.decode()))
        self._last = (first_seq, lines)

    def write_snapshot(self, text: bytes, serial: int) -> None:
        """Write the document with ``text`` and no journal."""
        del serial  # the document counts its own writes
        before = self._standing().document
        self._write(new_document(text, self._holder.id, before.serial + 1 if before else 1))
        self._last = None

    def release(self) -> None:
        """Give the lock back."""
        if not self._released:
            self._released = True
            unlock(self._wire, self._place, encode_lock_info(self._holder))
            self._wire.close()

    def _standing(self) -> _Seen:
        if self._seen is None:
            self.read()
        return self._seen or _Seen(None, "")

    def _next(self, before: StateDocument, extends: int, journal: str) -> StateDocument:
        return replace(
            before, serial=before.serial + 1, writer=self._holder.id, written=timestamp(), journal_serial=extends, journal=journal
        )

    def _write(self, document: StateDocument) -> None:
        """Put ``document`` in the place of what was seen last, and see that it has arrived."""
        self._ending.check()
        before = self._standing()
        self._check_unchanged(before)
        body = encode_document(document)
        headers = {"If-Match": before.etag} if before.etag else {}
        for turn in range(self._patience.tries):
            answer = self._post(body, headers)
            if answer is not None and answer.status in {OK, CREATED, NO_CONTENT}:
                self._check_arrived(before, document)
                return
            if answer is not None and not answer.later and answer.status not in {*CONFLICTS, UNPROCESSABLE}:
                raise self._ending.close(StateUnwritableError, f"the server said {status_text(answer)}")
            found = self._look()
            if found.document == document:  # an earlier try has arrived after all
                self._seen = found
                return
            self._check_refusal(before, found, answer)
            self._patience.wait(turn, answer.asked_s if answer else 0.0)
        raise self._ending.close(StateUnwritableError, f"{self._patience.tries} tries brought nothing")

    def _post(self, body: bytes, headers: dict[str, str]) -> HttpResponse | None:
        """One try; None: the outcome is unknown."""
        try:
            return self._wire.ask(self._place.update_method, self._place.write_address(self._holder.id), body, headers)
        except NoResponse:
            return None
        except StateUnreachableError as error:
            raise self._ending.close(StateUnwritableError, error.problems[0].detail) from None

    def _check_unchanged(self, before: _Seen) -> None:
        found = self._look(before)
        if found.document != before.document:
            raise self._ending.close(StateLockLostError, "something else was written there since this run read it")

    def _check_arrived(self, before: _Seen, document: StateDocument) -> None:
        """See that the server now gives ``document``; one that still gives the old one is asked again."""
        for turn in range(self._patience.tries):
            found = self._look()
            if found.document == document:
                self._seen = found
                return
            if found.document != before.document:
                raise self._ending.close(StateLockLostError, "something else was written there at the same time")
            self._patience.wait(turn)
        raise self._ending.close(StateUnwritableError, "the server accepted it and still gives the old state")

    def _check_refusal(self, before: _Seen, found: _Seen, answer: HttpResponse | None) -> None:
        """Raise unless the write may be tried again."""
        if found.document != before.document:
            raise self._ending.close(StateLockLostError, "something else was written there at the same time")
        if answer is not None and answer.status in CONFLICTS:
            why = f"the server said {status_text(answer)}, so this run no longer holds the lock"
            raise self._ending.close(StateLockLostError, why)
        if answer is not None and answer.status == UNPROCESSABLE:
            raise self._ending.close(StateUnwritableError, f"the server said {status_text(answer)}")

    def _look(self, known: _Seen | None = None) -> _Seen:
        """What stands there now; ``known``: what probably does, so that it need not be sent again."""
        place = self._place
        headers = {"If-None-Match": known.etag} if known and known.etag else {}
        try:
            answer = self._wire.insist("GET", place.address, headers=headers)
        except NoResponse as error:
            raise self._ending.close(StateUnwritableError, f"no answer ({error})") from None
        if known is not None and answer.status == NOT_MODIFIED:
            return known
        if answer.status == OK and answer.body:
            return _Seen(decode_document(answer.body, place.title), answer.etag)
        if answer.status in {OK, NO_CONTENT, NOT_FOUND}:
            return _Seen(None, "")
        raise self._ending.close(StateUnwritableError, refused_error(place.title, answer).problems[0].detail)
