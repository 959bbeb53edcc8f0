"""A state on an HTTP server whose lock this process holds."""

from typing import NamedTuple

from msgspec.structs import replace

from pragmaspec.errors import StateLockLostError, StateUnreachableError, StateUnwritableError
from pragmaspec.net.retry import RetryPolicy
from pragmaspec.state.backends.base import LockedBackend, LockHolder, RawState, WriteFence
from pragmaspec.state.backends.document import StateDocument, decode_document, encode_document, new_document, raw_state, timestamp
from pragmaspec.state.backends.http.client import HttpResponse, NoResponse, StateHttpClient
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
from pragmaspec.typing import override


class _Contents(NamedTuple):
    """The document on the server, with its ETag."""

    document: StateDocument | None
    etag: str


class LockedHttpBackend(LockedBackend):
    """The state that ``config`` names, locked for ``holder``."""

    def __init__(self, client: StateHttpClient, config: HttpConfig, holder: LockHolder, retry: RetryPolicy) -> None:
        self._client = client
        self._config = config
        self._holder = holder
        self._retry = retry
        self._known: _Contents | None = None
        """The contents last read or written."""
        self._journal_serial = 0
        self._last: tuple[int, bytes] | None = None
        self._fence = WriteFence(config.title)
        self._released = False

    @override
    def read(self) -> RawState:
        document, response = fetch_document(self._client, self._config)
        self._known = _Contents(document, response.etag)
        return raw_state(document, self._config.title)

    @override
    def begin_journal(self, serial: int) -> None:
        self._journal_serial = serial

    @override
    def append(self, lines: bytes, first_seq: int, reserve_bytes: int) -> None:
        del reserve_bytes  # the protocol cannot reserve space
        if self._last == (first_seq, lines) and not self._fence.closed:
            return
        before = self._contents().document
        if before is None:
            raise self._fence.close(StateUnwritableError, "there is no snapshot that a journal could extend")
        if before.journal and before.journal_serial != self._journal_serial:
            raise self._fence.close(StateUnwritableError, "there are journal lines that no snapshot covers")
        document = replace(
            before,
            serial=before.serial + 1,
            writer=self._holder.id,
            written=timestamp(),
            journal_serial=self._journal_serial,
            journal=before.journal + lines.decode(),
        )
        self._write(document)
        self._last = (first_seq, lines)

    @override
    def write_snapshot(self, text: bytes, serial: int) -> None:
        del serial  # the document counts its own writes
        before = self._contents().document
        self._write(new_document(text, self._holder.id, before.serial + 1 if before else 1))
        self._last = None

    @override
    def release(self) -> None:
        if not self._released:
            self._released = True
            unlock(self._client, self._config, encode_lock_info(self._holder))
            self._client.close()

    def _contents(self) -> _Contents:
        if self._known is None:
            self.read()
        return self._known or _Contents(None, "")

    def _write(self, document: StateDocument) -> None:
        """Replace the known document by ``document``, and verify that it has arrived."""
        self._fence.check()
        before = self._contents()
        self._check_unchanged(before)
        body = encode_document(document)
        headers = {"If-Match": before.etag} if before.etag else {}
        for attempt in range(self._retry.tries):
            response = self._post(body, headers)
            if response is not None and response.status in {OK, CREATED, NO_CONTENT}:
                self._check_arrived(before, document)
                return
            if response is not None and not response.retryable and response.status not in {*CONFLICTS, UNPROCESSABLE}:
                raise self._fence.close(StateUnwritableError, f"the server responded {status_text(response)}")
            found = self._fetch()
            if found.document == document:  # an earlier attempt has arrived after all
                self._known = found
                return
            self._check_refusal(before, found, response)
            self._retry.wait(attempt, response.retry_after_s if response else 0.0)
        raise self._fence.close(StateUnwritableError, f"{self._retry.tries} attempts failed")

    def _post(self, body: bytes, headers: dict[str, str]) -> HttpResponse | None:
        """Make one attempt; return None if its outcome is unknown."""
        try:
            return self._client.send(self._config.update_method, self._config.write_address(self._holder.id), body, headers)
        except NoResponse:
            return None
        except StateUnreachableError as error:
            raise self._fence.close(StateUnwritableError, error.problems[0].detail) from None

    def _check_unchanged(self, before: _Contents) -> None:
        found = self._fetch(before)
        if found.document != before.document:
            raise self._fence.close(StateLockLostError, "the state was changed after this run had read it")

    def _check_arrived(self, before: _Contents, document: StateDocument) -> None:
        """Verify that the server returns ``document``; retry while it returns the old one, as a lagging replica does."""
        for attempt in range(self._retry.tries):
            found = self._fetch()
            if found.document == document:
                self._known = found
                return
            if found.document != before.document:
                raise self._fence.close(StateLockLostError, "another run wrote the state at the same time")
            self._retry.wait(attempt)
        raise self._fence.close(StateUnwritableError, "the server accepted the write but still returns the old state")

    def _check_refusal(self, before: _Contents, found: _Contents, response: HttpResponse | None) -> None:
        """Raise unless the write may be retried."""
        if found.document != before.document:
            raise self._fence.close(StateLockLostError, "another run wrote the state at the same time")
        if response is not None and response.status in CONFLICTS:
            reason = f"the server responded {status_text(response)}, so this run no longer holds the lock"
            raise self._fence.close(StateLockLostError, reason)
        if response is not None and response.status == UNPROCESSABLE:
            raise self._fence.close(StateUnwritableError, f"the server responded {status_text(response)}")

    def _fetch(self, expected: _Contents | None = None) -> _Contents:
        """Return the current contents; if they are ``expected``, the server need not send them again."""
        headers = {"If-None-Match": expected.etag} if expected and expected.etag else {}
        try:
            response = self._client.send_with_retries("GET", self._config.address, headers=headers)
        except NoResponse as error:
            raise self._fence.close(StateUnwritableError, f"no response ({error})") from None
        if expected is not None and response.status == NOT_MODIFIED:
            return expected
        if response.status == OK and response.body:
            return _Contents(decode_document(response.body, self._config.title), response.etag)
        if response.status in {OK, NO_CONTENT, NOT_FOUND}:
            return _Contents(None, "")
        raise self._fence.close(StateUnwritableError, refused_error(self._config.title, response).problems[0].detail)
