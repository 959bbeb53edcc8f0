"""The connection to an EC2 service: credentials, endpoint, timeouts, repetitions and pages."""

import os
import threading
from collections.abc import Iterator
from contextlib import suppress
from functools import cached_property, lru_cache
from typing import Any, TypeAlias

from botocore import session as botocore
from botocore.config import Config
from botocore.exceptions import ClientError, ConnectionError, HTTPClientError  # noqa: A004 - botocore's own name
from botocore.loaders import Loader, create_loader
from botocore.parsers import ResponseParserError

from pragmaspec.clock import Clock, SystemClock
from pragmaspec.errors import SiteError
from pragmaspec.net.trust import TrustError, bundle_file
from pragmaspec.providers.ec2.errors import MISSING, THROTTLED, has_code, is_server_error
from pragmaspec.providers.ec2.settings import Ec2Settings

Answer: TypeAlias = dict[str, Any]
"""A response of the service, or a part of one."""

TRIES = 4
"""Attempts of a call that may be repeated."""
SETTLE_S = 30.0
"""Time within which an object that was just created becomes visible to further calls."""
_FIRST_PAUSE_S = 0.5
_CONNECT_S, _READ_S = 5, 90
_QUICK_CONNECT_S, _QUICK_READ_S = 4, 5
_DEFAULT_REGION = "us-east-1"
_READING = ("describe_", "get_", "list_")
_LOST = (ConnectionError, HTTPClientError, ResponseParserError)


class Ec2Client:
    """One service, from all threads of a process. Errors are those of botocore: see :mod:`pragmaspec.providers.ec2.errors`."""

    def __init__(self, settings: Ec2Settings, clock: Clock | None = None) -> None:
        self.settings = settings
        self.clock = clock or SystemClock()
        self._lock = threading.RLock()
        self._clients: dict[tuple[str, bool], Any] = {}

    @property
    def endpoint(self) -> str:
        """URL of the service."""
        return str(self._client("ec2").meta.endpoint_url)

    @property
    def region(self) -> str:
        """Name of the region."""
        return str(self._client("ec2").meta.region_name)

    @property
    def is_aws(self) -> bool:
        """True if the endpoint is AWS's own, which has further services beside EC2."""
        return _is_aws(self.endpoint)

    def call(self, operation: str, *, service: str = "ec2", repeatable: bool | None = None, **parameters: Any) -> Answer:  # noqa: ANN401
        """Make a call. It is repeated if the service was too busy to accept it, and after a lost answer if that is harmless.

        Reading is harmless; ``repeatable`` declares that another call is, or that a lost answer tells enough.
        """
        method = getattr(self._client(service), operation)
        harmless = operation.startswith(_READING) if repeatable is None else repeatable
        for attempt in range(TRIES):
            try:
                answer: Answer = method(**parameters)
            except (ClientError, *_LOST) as error:
                lost = isinstance(error, _LOST) or is_server_error(error)
                if attempt + 1 == TRIES or not (has_code(THROTTLED)(error) or (harmless and lost)):
                    raise
                self.clock.sleep(_FIRST_PAUSE_S * 2**attempt)
            else:
                return answer
        raise AssertionError(operation)

    def settled(self, operation: str, *, repeatable: bool = True, **parameters: Any) -> Answer:  # noqa: ANN401
        """Make a call on an object that was just created, and that the service may not know everywhere yet.

        ``repeatable``: it may also be repeated after a lost answer.
        """
        until = self.clock.monotonic() + (SETTLE_S if self.is_aws else 0)
        while True:
            try:
                return self.call(operation, repeatable=repeatable, **parameters)
            except ClientError as error:
                if not has_code(MISSING)(error) or self.clock.monotonic() >= until:
                    raise
                self.clock.sleep(1)

    def listed(self, operation: str, key: str, **parameters: Any) -> Iterator[Answer]:  # noqa: ANN401
        """Yield all objects of a listing, page by page."""
        token: dict[str, Any] = {}
        while True:
            answer = self.call(operation, **parameters, **token)
            yield from answer.get(key, ())
            if not answer.get("NextToken"):
                return
            token = {"NextToken": answer["NextToken"]}

    def check_reachable(self) -> None:
        """Raise an error of botocore if the service does not answer within 10 s."""
        self._client("ec2", quick=True).describe_regions()

    def close(self) -> None:
        """Close all connections."""
        with self._lock:
            for client in self._clients.values():
                with suppress(AttributeError):  # added in botocore 1.21.27
                    client.close()
            self._clients.clear()

    def _client(self, service: str, *, quick: bool = False) -> Any:  # noqa: ANN401 - botocore has no types
        with self._lock:
            found = self._clients.get((service, quick))
            if found is None:
                found = self._clients[service, quick] = self._new_client(service, quick=quick)
            return found

    def _new_client(self, service: str, *, quick: bool) -> Any:  # noqa: ANN401 - botocore has no types
        named = self.settings.endpoint or None
        # Other services than AWS have all APIs at one URL, if they have them.
        endpoint = None if named and service != "ec2" and _is_aws(named) else named
        config = Config(
            connect_timeout=_QUICK_CONNECT_S if quick else _CONNECT_S,
            read_timeout=_QUICK_READ_S if quick else _READ_S,
            retries={"total_max_attempts": 1},
            max_pool_connections=64,
            user_agent_extra="pragmaspec",
        )
        session = self._session
        region = self.settings.region or os.environ.get("AWS_REGION") or session.get_config_variable("region")
        region = region or (_DEFAULT_REGION if named else None)
        try:
            verify = session.get_config_variable("ca_bundle") or bundle_file() or None
        except TrustError as error:
            raise SiteError("Certificates cannot be used", f"Trusted certificates: {error}.") from error
        return session.create_client(
            service,
            region_name=region or (_DEFAULT_REGION if endpoint else None),
            endpoint_url=endpoint,
            verify=verify,
            config=config,
        )

    @cached_property
    def _session(self) -> Any:  # noqa: ANN401 - botocore has no types
        session = botocore.Session(profile=self.settings.profile or None)
        session.get_config_variable("region")  # reports an unknown profile
        session.register_component("data_loader", _loader(session.get_config_variable("data_path")))
        return session


@lru_cache(maxsize=1)
def _loader(data_path: str | None) -> Loader:
    """Return the reader of the descriptions of services, which takes 0.2 s for each that it has not read yet."""
    return create_loader(data_path)


def _is_aws(url: str) -> bool:
    host = url.partition("://")[2].partition("/")[0].partition(":")[0]
    return host.endswith((".amazonaws.com", ".amazonaws.com.cn", ".api.aws"))
