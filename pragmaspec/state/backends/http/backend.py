"""State on an HTTP server with Terraform's protocol: GitLab, Gitea or any other. One document holds the whole state.

The protocol has no compare-and-swap. It is approximated: every write carries the ID of the lock, so that the server refuses it
once the lock was broken; before each write the current document must still be ours, and after it the new one must have arrived;
``If-Match`` is sent where the server returns strong ETags; and ``serial`` grows with each write, so that GitLab accepts none
twice.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from uuid import uuid4

from msgspec.structs import replace

from pragmaspec.errors import StateUnreachableError, UsageError
from pragmaspec.net.retry import RetryPolicy
from pragmaspec.net.urls import redact_url
from pragmaspec.state.backends.base import Backend, LockedBackend, LockHolder, RawState, StateVersion
from pragmaspec.state.backends.document import raw_state, snapshot_header
from pragmaspec.state.backends.http.client import HttpResponse, NoResponse, StateHttpClient
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
from pragmaspec.state.backends.lock_info import (
    LockInfo,
    decode_lock_info,
    encode_lock_info,
    forced_unlock_body,
    locked_error,
    no_such_lock_error,
)
from pragmaspec.typing import override

_LOCKED_ADVICE = (
    "Wait until that run has ended. If it certainly is dead, break its lock with `pragmaspec state unlock ID`: this kind of "
    "server does not detect that."
)


class HttpBackend(Backend):
    """The state at ``url``. Raises UsageError for a URL that is invalid or contains credentials."""

    def __init__(self, url: str, retry: RetryPolicy | None = None, environ: Mapping[str, str] = os.environ) -> None:
        self._config = http_config(url, environ)
        self._retry = retry or RetryPolicy()
        self._environ = environ

    @property
    @override
    def title(self) -> str:
        return self._config.title

    @override
    def read(self) -> RawState:
        with self._client() as client:
            document, _ = fetch_document(client, self._config)
        return raw_state(document, self.title)

    @override
    def lock(self, holder: LockHolder) -> LockedBackend:
        holder = holder if holder.id else replace(holder, id=str(uuid4()))
        client = StateHttpClient(self._config.address, self._retry, self._environ)
        try:
            other = self._take_lock(client, holder)
        except BaseException:
            client.close()
            raise
        if other is not None:
            client.close()
            raise locked_error(self.title, other, _LOCKED_ADVICE)
        return LockedHttpBackend(client, self._config, holder, self._retry)

    @override
    def holder(self) -> LockHolder | None:
        # The protocol has no request for this, so a free lock is taken for a moment.
        probe = LockHolder(pid=os.getpid(), user="", host="", since="", command="look who holds the lock", id=str(uuid4()))
        with self._client() as client:
            other = self._take_lock(client, probe)
            if other is not None:
                return other.holder
            unlock(client, self._config, encode_lock_info(probe))
        return None

    @override
    def break_lock(self, lock_id: str) -> None:
        # An empty ``lock_id`` matches a lock whose ID the server does not report.
        found = self.holder()
        if found is None or found.id != lock_id:
            raise no_such_lock_error(self.title, found)
        with self._client() as client:
            response = unlock(client, self._config, forced_unlock_body(lock_id))
        if response is None or response.status != OK:
            reason = status_text(response) if response else "the server does not respond"
            raise StateUnreachableError("The lock cannot be broken", f"{self.title}: {reason}.")

    @override
    def history(self) -> tuple[StateVersion, ...]:
        with self._client() as client:
            document, _ = fetch_document(client, self._config)
        if document is None:
            return ()
        text = document.snapshot.encode()
        return (StateVersion(serial=snapshot_header(text).serial, written=document.written, size_bytes=len(text)),)

    @override
    def version(self, serial: int) -> bytes:
        snapshot = self.read().snapshot
        if snapshot is None or snapshot_header(snapshot).serial != serial:
            raise UsageError(
                "There is no such version",
                f"{self.title} does not contain serial {serial}, and the protocol has no access to earlier ones. A GitLab server "
                "keeps them: Operate, Terraform states, the menu of the state.",
            )
        return snapshot

    @override
    def remove(self) -> None:
        with self._client() as client:
            try:
                response = client.send_with_retries("DELETE", self._config.address)
            except NoResponse as error:
                raise no_response_error(self.title, error) from None
        if response.status not in {OK, NO_CONTENT, NOT_FOUND}:
            raise refused_error(self.title, response)

    @contextmanager
    def _client(self) -> Iterator[StateHttpClient]:
        client = StateHttpClient(self._config.address, self._retry, self._environ)
        try:
            yield client
        finally:
            client.close()

    def _take_lock(self, client: StateHttpClient, holder: LockHolder) -> LockInfo | None:
        """Take the lock for ``holder``; return its current holder if that is another one.

        A refusal that shows our own ID is the response to a repeated request: then the lock is ours.
        """
        body = encode_lock_info(holder)
        try:
            response = client.send_with_retries(self._config.lock_method, self._config.lock_address, body)
        except NoResponse as error:
            unlock(client, self._config, body)  # the request may have arrived, and an unknown lock would never be freed
            raise no_response_error(self.title, error) from None
        if response.status == OK:
            return None
        if response.status in CONFLICTS:
            found = decode_lock_info(response.body)
            return None if found.holder.id == holder.id else found
        if response.status not in DENIED:
            unlock(client, self._config, body)
        raise self._lock_error(response)

    def _lock_error(self, response: HttpResponse) -> StateUnreachableError:
        if response.status in DENIED or response.retryable:
            return refused_error(self.title, response)
        config = self._config
        return StateUnreachableError(
            "The server does not lock",
            f"{self.title}: the response to {config.lock_method} {redact_url(config.lock_address)} was {status_text(response)}, "
            "not 200. pragmaspec does not work without a lock. Set PRAGMASPEC_HTTP_LOCK_ADDRESS, PRAGMASPEC_HTTP_UNLOCK_ADDRESS, "
            "PRAGMASPEC_HTTP_LOCK_METHOD and PRAGMASPEC_HTTP_UNLOCK_METHOD to what the server expects, and check that the "
            "credentials allow writing (in GitLab: the role Maintainer).",
        )
