"""HTTP calls to the services of one OpenStack cloud, as one project: sessions, limits, retries, paging.

Requests are repeated only where that is harmless: those that read, those that set a value, and those that the service says it has
not begun. After any other failure the effect is unknown, and the caller looks the object up before it asks again.
"""

from collections.abc import Callable, Mapping, Sequence
from ssl import CERT_NONE, SSLContext, create_default_context
from threading import Lock, local
from typing import Any, Literal, TypeVar, get_args

import msgspec
from keystoneauth1 import exceptions as keystone
from keystoneauth1.adapter import Adapter
from keystoneauth1.plugin import BaseAuthPlugin
from keystoneauth1.session import Session
from openstack.config import OpenStackConfig
from openstack.config.cloud_region import CloudRegion

from pragmaspec.clock import Clock, SystemClock
from pragmaspec.net.trust import ConfiguredPath, tls_context
from pragmaspec.providers.openstack.call_error import CallError, call_error
from pragmaspec.providers.openstack.listings import Kind, Listing, Service
from pragmaspec.providers.openstack.settings import OpenStackSettings
from pragmaspec.typing import override

Method = Literal["GET", "POST", "PUT", "PATCH", "DELETE"]
Params = Mapping[str, str | int | Sequence[str]]
"""Parameters of a query; a sequence: several of one name."""
Connected = TypeVar("Connected")

COMPUTE_MICROVERSION = "2.52"
"""Of the release Pike (2017): tags when a server is created, and flavors within servers."""
_MAJOR = {"compute": "2.1", "network": "2", "image": "2", "block-storage": "3"}

SIGN_IN_TIMEOUT_S = 10.0
CONNECT_TIMEOUT_S = 10.0
ANSWER_TIMEOUT_S = 90.0
"""Longest silence in an answer. The creation of a server took up to 10 s on a busy cloud of one machine."""

_ATTEMPTS = 5
_PAUSE_S = 0.5
_LONGEST_PAUSE_S = 30.0
_NOT_BEGUN = frozenset({413, 429})
"""The service was asked too often, and has done nothing."""
_PASSING = frozenset({429, 413, 500, 502, 503, 504})
_HARMLESS = frozenset({"GET", "PUT", "PATCH", "DELETE"})
LOST = (keystone.ConnectFailure, keystone.ConnectTimeout, keystone.UnknownConnectionError)
"""Errors of requests that had no answer, or none that was complete. They may have taken effect."""
_NOT_SIGNED_IN = (*LOST, keystone.DiscoveryFailure, keystone.HttpServerError, keystone.TooManyRequests)
PAGE = 500


class Client:
    """Connects on first use. Thread-safe."""

    def __init__(self, settings: OpenStackSettings, clock: Clock | None = None, page: int = PAGE) -> None:
        self._settings = settings
        self._clock = clock or SystemClock()
        self._page = page
        self._lock = Lock()
        self._region: CloudRegion | None = None
        self._session: Session | None = None
        self._adapters: dict[Service, Adapter] = {}
        self._discoveries: Mapping[Service, Lock] = {service: Lock() for service in get_args(Service)}

    @property
    def clock(self) -> Clock:
        """The clock of all waits at this site."""
        return self._clock

    def project_id(self) -> str:
        """Return the id of the project. Signs in at the first use."""
        found = self._repeated(lambda: self._connected().get_project_id())
        if found is None:
            raise keystone.AuthorizationFailure("The credentials name no project.")
        return str(found)

    def region_name(self) -> str:
        """Return the region's name, empty if the cloud has only one."""
        self._connected()
        return str(self._region.region_name or "") if self._region else ""

    def project_name(self) -> str:
        """Return the project's name for people; empty if the configuration does not have it."""
        self._connected()
        auth = self._region.config.get("auth", {}) if self._region else {}
        return str(auth.get("project_name") or "")

    def has(self, service: Service) -> bool:
        """True if the cloud's catalogue has ``service``."""
        try:
            self._adapter(service)
        except keystone.EndpointNotFound:
            return False
        return True

    def list(self, listing: Listing[Kind], **filters: str | int | Sequence[str]) -> tuple[Kind, ...]:
        """Return all objects of ``listing`` that fit the service's ``filters``, page by page."""
        key = listing.key
        found: list[Kind] = []
        marker: dict[str, str] = {}
        while True:
            answer = self.call(listing.service, "GET", listing.path, params={**filters, "limit": self._page, **marker})
            page = msgspec.json.decode(answer, type=dict[str, msgspec.Raw])
            items = listing.read(page[key])
            found += items
            if not items or not ("next" in page or _has_next(page.get(f"{key}_links"))):
                return tuple(found)
            marker = {"marker": msgspec.json.decode(page[key], type=list[_Id])[-1].id}

    def show(self, service: Service, path: str, key: str, kind: type[Kind]) -> Kind | None:
        """Return the object at ``path``, which is the value of ``key`` in the answer; None if there is none."""
        try:
            answer = self.call(service, "GET", path)
        except CallError as error:
            if error.status == _NOT_FOUND:
                return None
            raise
        return _decoded(answer, key, kind)

    def send(self, service: Service, method: Method, path: str, body: object, key: str, kind: type[Kind]) -> Kind:
        """Send ``body``, and return the value of ``key`` in the answer; the whole answer if ``key`` is empty."""
        return _decoded(self.call(service, method, path, body=body), key, kind)

    def remove(self, service: Service, path: str) -> bool:
        """Remove the object at ``path``. Returns False if there is none."""
        try:
            self.call(service, "DELETE", path)
        except CallError as error:
            if error.status == _NOT_FOUND:
                return False
            raise
        return True

    def call(
        self,
        service: Service,
        method: Method,
        path: str,
        *,
        params: Params | None = None,
        body: object = None,
        headers: Mapping[str, str] | None = None,
    ) -> bytes:
        """Make a request with a JSON ``body``, and return the answer. Raises CallError for a refusal.

        A token that has expired is replaced, and the request repeated, by keystoneauth.
        """
        arguments: dict[str, Any] = {"params": dict(params or {}), "headers": dict(headers or {})}
        if body is not None:
            arguments["data"] = msgspec.json.encode(body)
            arguments["headers"] = {"Content-Type": "application/json", **arguments["headers"]}
        adapter = self._adapter(service)
        attempt = 0
        while True:
            attempt += 1
            try:
                answer = _request(adapter, method, path, **arguments)
            except LOST:
                if method not in _HARMLESS or attempt == _ATTEMPTS:
                    raise
                self._clock.sleep(_pause_s(attempt, None))
                continue
            if answer.status_code < _REFUSED:
                return bytes(answer.content)
            error = call_error(answer.status_code, answer.content, f"{method} {service}{path}")
            repeatable = error.status in (_PASSING if method in _HARMLESS else _NOT_BEGUN)
            if not repeatable or attempt == _ATTEMPTS or error.is_quota:
                raise error
            self._clock.sleep(_pause_s(attempt, answer.headers.get("Retry-After")))

    def upload(self, path: str, body: Any) -> None:  # noqa: ANN401 - a readable file, or an iterator of bytes
        """Send the bytes of an image. Raises CallError for a refusal. Never repeated."""
        headers = {"Content-Type": "application/octet-stream"}
        answer = _request(self._adapter("image"), "PUT", path, data=body, headers=headers)
        if answer.status_code >= _REFUSED:
            raise call_error(answer.status_code, answer.content, f"PUT image{path}")

    def server_time(self) -> str:
        """Return the ``Date`` of the image service, against which its own times are compared."""
        return str(_request(self._adapter("image"), "GET", "/schemas/image").headers.get("Date", ""))

    def tls_context(self) -> SSLContext:
        """Return the TLS context of connections to the cloud beside its APIs, as the configuration of the cloud has it."""
        verify = self._connected().verify
        if isinstance(verify, str):
            return tls_context(bundle=ConfiguredPath("cacert", verify))
        if verify:
            return tls_context()
        context = create_default_context()
        context.check_hostname = False
        context.verify_mode = CERT_NONE
        return context

    def close(self) -> None:
        """Close the connections."""
        with self._lock:
            if self._session is not None and self._session.session is not None:
                self._session.session.close()

    def _connected(self) -> Session:
        with self._lock:
            return self._sign_in()

    def _sign_in(self) -> Session:
        if self._session is None:
            config = OpenStackConfig(app_name="pragmaspec", session_constructor=_Session)
            self._region = config.get_one(**_chosen(self._settings))
            session = self._region.get_session()
            session.timeout = SIGN_IN_TIMEOUT_S
            self._session = session
        return self._session

    def _adapter(self, service: Service) -> Adapter:
        with self._discoveries[service]:
            if service not in self._adapters:
                self._adapters[service] = self._repeated(lambda: self._new_adapter(service))
            return self._adapters[service]

    def _new_adapter(self, service: Service) -> Adapter:
        """Return an adapter for the service's address, which is found out once.

        Raises DiscoveryFailure rather than use the address of the catalogue without knowing the version of the API: there, every
        object would seem to be missing.
        """
        session, region = self._connected(), self._region
        session.get_project_id()
        if region is None:
            raise TypeError(service)
        place: dict[str, Any] = {"interface": region.get_interface(service), "region_name": region.get_region_name(service)}
        address = region.get_endpoint(service)
        if address is None:
            versions: dict[str, Any] = {
                "min_version": _MAJOR[service],
                "max_version": f"{_MAJOR[service].partition('.')[0]}.latest",
            }
            found = session.get_endpoint_data(service_type=service, discover_versions=False, **place, **versions)
            if found is None:
                raise keystone.EndpointNotFound(f"The catalogue has no service {service}.")
            if found.api_version is None:
                raise keystone.DiscoveryFailure(f"The service {service} does not tell the versions of its API.")
            address = found.url
        microversion = COMPUTE_MICROVERSION if service == "compute" else None
        return Adapter(
            session=session, service_type=service, endpoint_override=address, default_microversion=microversion, **place
        )

    def _repeated(self, connect: Callable[[], Connected]) -> Connected:
        """Return what ``connect`` returns, which is repeated if the site does not answer: it changes nothing there."""
        for attempt in range(1, _ATTEMPTS):
            try:
                return connect()
            except _NOT_SIGNED_IN:
                self._clock.sleep(_pause_s(attempt, None))
        return connect()


class _Session(Session):
    """A session that fails where keystoneauth waits for itself for ever.

    When the identity service answers the request for its versions with 401, keystoneauth repeats the request with a token, which
    it does not have yet.
    """

    _thread = local()

    @override
    def get_project_id(self, auth: BaseAuthPlugin | None = None) -> str | None:
        self._thread.signs_in = True
        try:
            return super().get_project_id(auth)
        finally:
            self._thread.signs_in = False

    @override
    def get_auth_headers(self, auth: BaseAuthPlugin | None = None) -> dict[str, str] | None:
        if getattr(self._thread, "signs_in", False):
            raise keystone.Unauthorized("The identity service does not list its versions.")
        return super().get_auth_headers(auth)


_NOT_FOUND = 404
_REFUSED = 400


def _request(adapter: Adapter, method: Method, path: str, **arguments: Any) -> Any:  # noqa: ANN401 - requests' response
    timeout = (CONNECT_TIMEOUT_S, ANSWER_TIMEOUT_S)
    return adapter.request(path, method, raise_exc=False, connect_retries=0, timeout=timeout, **arguments)


def _chosen(settings: OpenStackSettings) -> dict[str, Any]:
    """Return the choice of a cloud and a region; what is not chosen is that of the configuration."""
    chosen = {"cloud": settings.cloud, "region_name": settings.region}
    return {name: value for name, value in chosen.items() if value}


class _Id(msgspec.Struct):
    id: str


class _Link(msgspec.Struct):
    rel: str


def _has_next(links: msgspec.Raw | None) -> bool:
    return links is not None and any(link.rel == "next" for link in msgspec.json.decode(links, type=list[_Link]))


def _decoded(answer: bytes, key: str, kind: type[Kind]) -> Kind:
    if not key:
        return msgspec.json.decode(answer, type=kind)
    return msgspec.json.decode(msgspec.json.decode(answer, type=dict[str, msgspec.Raw])[key], type=kind)


def _pause_s(attempt: int, retry_after: str | None) -> float:
    asked = float(retry_after) if retry_after is not None and retry_after.isascii() and retry_after.isdigit() else 0.0
    growing: float = _PAUSE_S * 2 ** (attempt - 1)
    return min(max(asked, growing), _LONGEST_PAUSE_S)
