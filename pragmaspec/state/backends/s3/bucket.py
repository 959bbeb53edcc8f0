"""Objects in an S3 bucket, with preconditions. Every answer is certain, or was made so by looking. Knows nothing of locks."""

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
from pragmaspec.state.backends.s3.config import S3Config, s3_client, unreachable_error
from pragmaspec.state.backends.s3.redirects import RedirectLoopError

_DENIED = frozenset({301, 307, 400, 401, 403})
_NOT_FOUND, _CONFLICT, _PRECONDITION_FAILED = 404, 409, 412
_LATER = frozenset({_CONFLICT, 429, 500, 502, 503, 504})
_NO_ANSWER = 0
_NO_CONDITION = frozenset({400, 501})
"""How stores say that they know no conditional DELETE."""
_AT_ONCE = 8
_Result = TypeVar("_Result")


class S3Object(NamedTuple):
    """An object as it was found; ``age_s`` is its age by the server's own clock, ``written`` RFC 3339, UTC."""

    body: bytes
    etag: str
    written: str
    age_s: float


class PreconditionFailedError(Exception):
    """A precondition was not met: ``found`` is there now; None: nothing."""

    def __init__(self, found: S3Object | None) -> None:
        super().__init__("a precondition was not met")
        self.found = found


class _AnswerError(Exception):
    """An answer other than yes; ``status`` 0: none came, so the outcome is unknown."""

    def __init__(self, status: int, code: str) -> None:
        super().__init__(f"{status} {code}" if status else code)
        self.status = status
        self.code = code


class Bucket:
    """The bucket of ``place``. May be used from several threads. Close it after use."""

    def __init__(self, place: S3Config, patience: RetryPolicy, environ: Mapping[str, str] = os.environ) -> None:
        self.place = place
        self.patience = patience
        self._client = s3_client(place, patience, environ)

    def without_retries(self) -> "Bucket":
        """The same, with one try for each request, for who tries again anyway. Shares the connections; only one is closed."""
        other = copy(self)
        other.patience = replace(self.patience, tries=1)
        return other

    def close(self) -> None:
        """Let go of the connections."""
        self._client.close()

    def get(self, key: str) -> S3Object | None:
        """The object at ``key``. Raises StateUnreachableError."""
        return self._insist(partial(self._get, key))

    def etag(self, key: str) -> str | None:
        """The ETag of the object at ``key``, without its content. Raises StateUnreachableError."""
        answer = self._insist(partial(self._found, self._client.head_object, Key=key))
        return None if answer is None else str(self._told(answer, "ETag"))

    def keys(self, prefix: str) -> tuple[str, ...]:
        """The keys that begin with ``prefix``, sorted. Raises StateUnreachableError."""
        return self._insist(partial(self._keys, prefix))

    def get_all(self, keys: Sequence[str]) -> tuple[S3Object | None, ...]:
        """The objects at ``keys``, several at once. Raises StateUnreachableError."""
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            return tuple(pool.map(self.get, keys))

    def delete_all(self, keys: Sequence[str]) -> None:
        """Remove the objects at ``keys``, several at once. Raises StateUnreachableError."""
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            tuple(pool.map(self.delete, keys))

    def versions(self, key: str) -> Iterator[S3Object]:
        """What is kept of ``key``, newest first; only what stands when the bucket keeps no more. Raises StateUnreachableError."""
        for version in self._insist(partial(self._version_ids, key)):
            found = self._insist(partial(self._get, key, VersionId=version))
            if found is not None:
                yield found

    def put(self, key: str, body: bytes, if_match: str | None) -> str:
        """Put ``body`` at ``key`` if what is there has the ETag ``if_match`` (None: if nothing is), and return its ETag.

        A refusal, and an answer that did not come, are followed by a look: when exactly ``body`` stands there, an earlier try has
        arrived. Raises RefusedError, StateUnreachableError (then the outcome is unknown, unless the store said no).
        """
        problem = _AnswerError(_NO_ANSWER, "it was not asked")
        for turn in range(self.patience.tries):
            try:
                return self._put(key, body, if_match)
            except _AnswerError as answer:
                problem = answer
            if problem.status not in {_NO_ANSWER, _NOT_FOUND, _PRECONDITION_FAILED, *_LATER} or problem.code == "NoSuchBucket":
                raise self._problem(problem)
            found = self.get(key)
            if found is not None and found.body == body:
                return found.etag
            if (found.etag if found else None) != if_match or problem.status == _PRECONDITION_FAILED:
                raise PreconditionFailedError(found)
            self.patience.wait(turn)
        raise self._problem(problem)

    def rejects_put(self, key: str, body: bytes, if_match: str | None) -> bool:
        """Whether the store refuses to put ``body`` at ``key``, as it must. Raises StateUnreachableError."""

        def tried() -> bool:
            try:
                self._put(key, body, if_match)
            except _AnswerError as answer:
                if answer.status in {_PRECONDITION_FAILED, _NOT_FOUND} and answer.code != "NoSuchBucket":
                    return True
                raise
            return False

        return self._insist(tried)

    def delete(self, key: str) -> None:
        """Remove the object at ``key``, if it is there. Raises StateUnreachableError."""
        self._insist(partial(self._found, self._client.delete_object, Key=key))

    def delete_if(self, key: str, wanted: Callable[[S3Object], bool]) -> None:
        """Remove the object at ``key`` if what is there is ``wanted``, and nothing else that came meanwhile. Absent: no error.

        The look before it is also for stores that know no conditional DELETE. Raises RefusedError and StateUnreachableError.
        """
        problem = _AnswerError(_NO_ANSWER, "it was not asked")
        for turn in range(self.patience.tries):
            found = self.get(key)
            if found is None:
                return
            if not wanted(found):
                raise PreconditionFailedError(found)
            try:
                self._found(self._client.delete_object, Key=key, IfMatch=found.etag)
            except _AnswerError as answer:
                problem = answer
            else:
                return
            if problem.status in _NO_CONDITION:
                self.delete(key)
                return
            if problem.status not in {_NO_ANSWER, _PRECONDITION_FAILED, *_LATER}:
                break
            self.patience.wait(turn)
        raise self._problem(problem)

    def _get(self, key: str, **options: str) -> S3Object | None:
        answer = self._found(self._client.get_object, Key=key, **options)
        if answer is None:
            return None
        with closing(answer["Body"]) as stream:
            body = self._call(stream.read)
        return S3Object(body, str(self._told(answer, "ETag")), _rfc3339(self._told(answer, "LastModified")), _age_s(answer))

    def _put(self, key: str, body: bytes, if_match: str | None) -> str:
        condition = {"IfNoneMatch": "*"} if if_match is None else {"IfMatch": if_match}
        answer = self._call(
            self._client.put_object,
            Bucket=self.place.bucket,
            Key=key,
            Body=body,
            ContentType="application/json",
            ChecksumSHA256=b64encode(sha256(body).digest()).decode(),
            **condition,
        )
        return str(self._told(answer, "ETag"))

    def _told(self, answer: Mapping[str, Any], name: str) -> Any:  # noqa: ANN401 - botocore has no types of its own
        """A value that every S3 store returns. Raises StateUnreachableError if it is missing: the server is no S3 store."""
        if name not in answer:
            raise unreachable_error(self.place, f"the server does not answer as S3 does: there is no {name}")
        return answer[name]

    def _keys(self, prefix: str) -> tuple[str, ...]:
        pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self.place.bucket, Prefix=prefix)
        return self._call(lambda: tuple(sorted(str(each["Key"]) for page in pages for each in page.get("Contents", ()))))

    def _version_ids(self, key: str) -> tuple[str, ...]:
        pages = self._client.get_paginator("list_object_versions").paginate(Bucket=self.place.bucket, Prefix=key)
        return self._call(
            lambda: tuple(str(each["VersionId"]) for page in pages for each in page.get("Versions", ()) if each["Key"] == key)
        )

    def _found(self, call: Callable[..., Any], **arguments: str) -> Any:  # noqa: ANN401 - botocore has no types of its own
        """What ``call`` answers; None for "there is no such object"."""
        try:
            return self._call(call, Bucket=self.place.bucket, **arguments)
        except _AnswerError as answer:
            if answer.status == _NOT_FOUND and answer.code != "NoSuchBucket":
                return None
            raise

    def _call(self, call: Callable[..., _Result], **arguments: object) -> _Result:
        """What ``call`` answers. Raises _AnswerError, and StateUnreachableError when it could not be asked at all."""
        from botocore import exceptions as aws  # noqa: PLC0415 - heavy
        from botocore.parsers import ResponseParserError  # noqa: PLC0415 - heavy
        from urllib3.exceptions import HTTPError  # noqa: PLC0415 - heavy

        try:
            return call(**arguments)
        except aws.ClientError as error:
            told = error.response
            status = int(told.get("ResponseMetadata", {}).get("HTTPStatusCode", _NO_ANSWER))
            raise _AnswerError(status, str(told.get("Error", {}).get("Code", ""))[:80]) from None
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
                raise unreachable_error(self.place, explain_error(error)) from None
            raise _AnswerError(_NO_ANSWER, type(error).__name__) from None
        except aws.BotoCoreError as error:
            raise unreachable_error(self.place, error) from None
        except (KeyError, ValueError):
            raise unreachable_error(self.place, "the server does not answer as S3 does") from None
        except RedirectLoopError:
            raise unreachable_error(self.place, "the server redirects in a circle, and does not answer as S3 does") from None

    def _insist(self, call: Callable[[], _Result]) -> _Result:
        """Call until the answer is certain. Only for what may be done twice. Raises StateUnreachableError."""
        problem = _AnswerError(_NO_ANSWER, "it was not asked")
        for turn in range(self.patience.tries):
            try:
                return call()
            except _AnswerError as answer:
                problem = answer
            if problem.status and problem.status not in _LATER:
                break
            self.patience.wait(turn)
        raise self._problem(problem)

    def _problem(self, answer: _AnswerError) -> PragmaspecError:
        if answer.status == _NO_ANSWER:
            advice = "Check the network and the endpoint, then run the command again."
        elif answer.code == "NoSuchBucket":
            advice = "Create the bucket first, with versioning switched on."
        elif answer.status in _DENIED:
            advice = (
                "The credentials need s3:GetObject, s3:PutObject, s3:DeleteObject and s3:ListBucket there, and the region must "
                f"be right. Credentials come from {CREDENTIAL_SOURCES['s3']}."
            )
        else:
            advice = "Try again later, or ask who runs the store."
        what = f"the store said {answer}" if answer.status else f"no answer ({answer})"
        return StateUnreachableError("The state cannot be reached", f"{self.place.title}: {what}. {advice}")


def _rfc3339(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="seconds")


def _age_s(answer: Mapping[str, Any]) -> float:
    """How long ago the object was written, by the server's clock alone: clocks of two machines may differ by hours."""
    told = answer["ResponseMetadata"]["HTTPHeaders"].get("date", "")
    try:
        now = parsedate_to_datetime(told)
        written: datetime = answer["LastModified"]
        return max(0.0, (now - written).total_seconds())
    except (ValueError, TypeError, OverflowError):
        return 0.0
