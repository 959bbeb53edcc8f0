"""Objects in an S3 bucket, with preconditions. An unknown outcome is resolved by reading the object again. No locking here."""

import os
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from copy import copy
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import partial
from hashlib import sha256
from typing import Any, NamedTuple, TypeVar

from msgspec.structs import replace

from pragmaspec.credentials import CREDENTIAL_SOURCES
from pragmaspec.errors import PragmaspecError, StateUnreachableError
from pragmaspec.net.retry import RetryPolicy
from pragmaspec.net.s3 import RedirectLoopError, release_responses
from pragmaspec.state.backends.s3.config import S3Config, s3_client, unreachable_error

_DENIED = frozenset({301, 307, 400, 401, 403})
_NOT_FOUND, _CONFLICT, _PRECONDITION_FAILED = 404, 409, 412
_RETRYABLE = frozenset({_CONFLICT, 429, 500, 502, 503, 504})
_NO_RESPONSE = 0
_NO_CONDITIONAL_DELETE = frozenset({400, 501})
"""Responses of stores that do not implement conditional DELETE."""
_MAX_PARALLEL = 8
_Result = TypeVar("_Result")


class S3Object(NamedTuple):
    """The content of an object. ``age_s`` is its age by the clock of the server; ``written`` is RFC 3339, UTC."""

    body: bytes
    etag: str
    written: str
    age_s: float


class PreconditionFailedError(Exception):
    """A precondition was not met. ``found`` is the current object, None if there is none."""

    def __init__(self, found: S3Object | None) -> None:
        super().__init__("a precondition was not met")
        self.found = found


class _RequestError(Exception):
    """A request failed; ``status`` 0 means that there was no response, so the outcome is unknown."""

    def __init__(self, status: int = _NO_RESPONSE, code: str = "no attempt was made") -> None:
        super().__init__(f"{status} {code}" if status else code)
        self.status = status
        self.code = code

    @property
    def no_such_key(self) -> bool:
        """True if the object is absent, not its bucket."""
        return self.status == _NOT_FOUND and self.code != "NoSuchBucket"


class Bucket:
    """The bucket of ``config``. May be used from several threads. Close it after use.

    All methods raise StateUnreachableError.
    """

    def __init__(self, config: S3Config, retry: RetryPolicy, environ: Mapping[str, str] = os.environ) -> None:
        self.config = config
        self.retry = retry
        self._client = s3_client(config, retry, environ)

    def without_retries(self) -> "Bucket":
        """Return this bucket with one attempt per request, for callers that retry themselves. It shares the connections."""
        other = copy(self)
        other.retry = replace(self.retry, tries=1)
        return other

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def get(self, key: str) -> S3Object | None:
        """Return the object at ``key``."""
        return self._with_retries(partial(self._get, key))

    def etag(self, key: str) -> str | None:
        """Return the ETag of the object at ``key``."""
        response = self._with_retries(partial(self._call_object, self._client.head_object, Key=key))
        return None if response is None else str(self._required(response, "ETag"))

    def keys(self, prefix: str) -> tuple[str, ...]:
        """Return the keys that begin with ``prefix``, sorted."""
        return self._with_retries(partial(self._keys, prefix))

    def get_all(self, keys: Sequence[str]) -> tuple[S3Object | None, ...]:
        """Return the objects at ``keys``, with parallel requests."""
        with ThreadPoolExecutor(_MAX_PARALLEL) as pool:
            return tuple(pool.map(self.get, keys))

    def delete_all(self, keys: Sequence[str]) -> None:
        """Remove the objects at ``keys``, with parallel requests."""
        with ThreadPoolExecutor(_MAX_PARALLEL) as pool:
            tuple(pool.map(self.delete, keys))

    def versions(self, key: str) -> Iterator[S3Object]:
        """Yield the versions of ``key``, newest first; only the current one if the bucket keeps no others."""
        for version in self._with_retries(partial(self._version_ids, key)):
            found = self._with_retries(partial(self._get, key, VersionId=version))
            if found is not None:
                yield found

    def put(self, key: str, body: bytes, if_match: str | None) -> str:
        """Put ``body`` at ``key`` if the ETag there is ``if_match`` (None: if there is no object), and return the new ETag.

        After a rejection or a lost response the object is read: if it is exactly ``body``, an earlier attempt has arrived. Raises
        PreconditionFailedError. After StateUnreachableError the outcome is unknown, unless the store refused the request.
        """
        problem = _RequestError()
        for attempt in range(self.retry.tries):
            try:
                return self._put(key, body, if_match)
            except _RequestError as error:
                problem = error
            uncertain = {_NO_RESPONSE, _NOT_FOUND, _PRECONDITION_FAILED, *_RETRYABLE}
            if problem.status not in uncertain or problem.code == "NoSuchBucket":
                raise self._unreachable(problem)
            found = self.get(key)
            if found is not None and found.body == body:
                return found.etag
            if (found.etag if found else None) != if_match or problem.status == _PRECONDITION_FAILED:
                raise PreconditionFailedError(found)
            self.retry.wait(attempt)
        raise self._unreachable(problem)

    def rejects_put(self, key: str, body: bytes, if_match: str | None) -> bool:
        """Put ``body`` at ``key`` with a precondition; True if the store rejects it."""

        def attempt() -> bool:
            try:
                self._put(key, body, if_match)
            except _RequestError as error:
                if error.status == _PRECONDITION_FAILED or error.no_such_key:
                    return True
                raise
            return False

        return self._with_retries(attempt)

    def delete(self, key: str) -> None:
        """Remove the object at ``key``, if there is one."""
        self._with_retries(partial(self._call_object, self._client.delete_object, Key=key))

    def delete_if(self, key: str, condition: Callable[[S3Object], bool]) -> None:
        """Remove the object at ``key`` if ``condition`` is true of it. An absent object is no error.

        An object that replaces it meanwhile is not removed, except by a store without conditional DELETE. Raises
        PreconditionFailedError.
        """
        problem = _RequestError()
        for attempt in range(self.retry.tries):
            found = self.get(key)
            if found is None:
                return
            if not condition(found):
                raise PreconditionFailedError(found)
            try:
                self._call_object(self._client.delete_object, Key=key, IfMatch=found.etag)
            except _RequestError as error:
                problem = error
            else:
                return
            if problem.status in _NO_CONDITIONAL_DELETE:
                self.delete(key)
                return
            if problem.status not in {_NO_RESPONSE, _PRECONDITION_FAILED, *_RETRYABLE}:
                break
            self.retry.wait(attempt)
        raise self._unreachable(problem)

    def _get(self, key: str, **options: str) -> S3Object | None:
        response = self._call_object(self._client.get_object, Key=key, **options)
        if response is None:
            return None
        with closing(response["Body"]) as stream:
            body = self._call(stream.read)
        etag, written = str(self._required(response, "ETag")), self._required(response, "LastModified").astimezone(UTC)
        return S3Object(body, etag, written.isoformat(timespec="seconds"), _age_s(response))

    def _put(self, key: str, body: bytes, if_match: str | None) -> str:
        condition = {"IfNoneMatch": "*"} if if_match is None else {"IfMatch": if_match}
        response = self._call(
            self._client.put_object,
            Bucket=self.config.bucket,
            Key=key,
            Body=body,
            ContentType="application/json",
            ChecksumSHA256=b64encode(sha256(body).digest()).decode(),
            **condition,
        )
        return str(self._required(response, "ETag"))

    def _required(self, response: Mapping[str, Any], name: str) -> Any:  # noqa: ANN401 - botocore is untyped
        """Return a value that every S3 store returns. Raises StateUnreachableError if it is missing."""
        if name not in response:
            raise unreachable_error(self.config, f"the server does not respond as S3 does: there is no {name}")
        return response[name]

    def _keys(self, prefix: str) -> tuple[str, ...]:
        pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self.config.bucket, Prefix=prefix)
        return self._call(lambda: tuple(sorted(str(each["Key"]) for page in pages for each in page.get("Contents", ()))))

    def _version_ids(self, key: str) -> tuple[str, ...]:
        pages = self._client.get_paginator("list_object_versions").paginate(Bucket=self.config.bucket, Prefix=key)
        return self._call(
            lambda: tuple(str(each["VersionId"]) for page in pages for each in page.get("Versions", ()) if each["Key"] == key)
        )

    def _call_object(self, call: Callable[..., Any], **arguments: str) -> Any:  # noqa: ANN401 - botocore is untyped
        """Return the response of ``call``, None if there is no such object. Raises _RequestError."""
        try:
            return self._call(call, Bucket=self.config.bucket, **arguments)
        except _RequestError as error:
            if error.no_such_key:
                return None
            raise

    def _call(self, call: Callable[..., _Result], **arguments: object) -> _Result:
        """Return the response of ``call``. Raises _RequestError, and StateUnreachableError if a retry cannot help."""
        try:
            return self._translated(call, **arguments)
        except (_RequestError, StateUnreachableError) as error:
            release_responses(error)
            raise

    def _translated(self, call: Callable[..., _Result], **arguments: object) -> _Result:
        from botocore import exceptions as aws  # noqa: PLC0415 - heavy
        from botocore.parsers import ResponseParserError  # noqa: PLC0415 - heavy
        from urllib3.exceptions import HTTPError  # noqa: PLC0415 - heavy

        try:
            return call(**arguments)
        except aws.ClientError as error:
            response = error.response
            status = int(response.get("ResponseMetadata", {}).get("HTTPStatusCode", _NO_RESPONSE))
            raise _RequestError(status, str(response.get("Error", {}).get("Code", ""))[:80]) from None
        except (
            aws.SSLError,
            aws.HTTPClientError,
            aws.ConnectionError,
            aws.IncompleteReadError,
            ResponseParserError,
            HTTPError,
        ) as error:
            from pragmaspec.net.errors import explain_error, is_permanent  # noqa: PLC0415 - heavy

            if is_permanent(error):
                raise unreachable_error(self.config, explain_error(error)) from None
            raise _RequestError(_NO_RESPONSE, type(error).__name__) from None
        except aws.BotoCoreError as error:
            raise unreachable_error(self.config, error) from None
        except (KeyError, ValueError):
            raise unreachable_error(self.config, "the server does not respond as S3 does") from None
        except RedirectLoopError:
            reason = "the server redirects in a loop, and does not respond as S3 does"
            raise unreachable_error(self.config, reason) from None

    def _with_retries(self, call: Callable[[], _Result]) -> _Result:
        """Call until the outcome is known. For idempotent requests only."""
        problem = _RequestError()
        for attempt in range(self.retry.tries):
            try:
                return call()
            except _RequestError as error:
                problem = error
            if problem.status and problem.status not in _RETRYABLE:
                break
            self.retry.wait(attempt)
        raise self._unreachable(problem)

    def _unreachable(self, error: _RequestError) -> PragmaspecError:
        if error.status == _NO_RESPONSE:
            advice = "Check the network and the endpoint, then repeat the command."
        elif error.code == "NoSuchBucket":
            advice = "Create the bucket first, with versioning enabled."
        elif error.status in _DENIED:
            advice = (
                "The credentials need s3:GetObject, s3:PutObject, s3:DeleteObject and s3:ListBucket there, and the region must "
                f"be correct. Credentials are taken from {CREDENTIAL_SOURCES['s3']}."
            )
        else:
            advice = "Try again later, or ask the administrator of the store."
        fact = f"the store responded {error}" if error.status else f"no response ({error})"
        return StateUnreachableError("The state cannot be reached", f"{self.config.title}: {fact}. {advice}")


def _age_s(response: Mapping[str, Any]) -> float:
    """Return the age of the object by the server's clock alone: the clocks of two machines may differ by hours."""
    date = response["ResponseMetadata"]["HTTPHeaders"].get("date", "")
    try:
        now = parsedate_to_datetime(date)
        written: datetime = response["LastModified"]
        return max(0.0, (now - written).total_seconds())
    except (ValueError, TypeError, OverflowError):
        return 0.0
