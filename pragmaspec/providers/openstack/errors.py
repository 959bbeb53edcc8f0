"""Translation of errors: refusals of the services, and exceptions of the libraries that connect to them."""

from contextlib import AbstractContextManager

import msgspec
from keystoneauth1 import exceptions as keystone
from openstack import exceptions as openstack

from pragmaspec.errors import SiteCapacityError, SiteConflictError, SiteError, SiteUnreachableError
from pragmaspec.providers.errors import ErrorRow, ErrorTable
from pragmaspec.providers.openstack.call_error import CallError

_CREDENTIALS = (
    "Check the site's `cloud` in clouds.yaml, or the variables OS_*: `openstack token issue` tells whether they are accepted."
)
_NETWORK = "Check that the cloud's addresses can be reached from here: `openstack catalog list` shows them."
_SERVICES = "Compute, network and image are needed: `openstack catalog list` shows those of the cloud."
_AUTHORITY = "Give the certificate of its authority as `cacert` in clouds.yaml."
_REFUSED = "The site refused the request"
_AGAIN = "Plan again; if it persists, report a bug."
_UNREACHABLE = "The site does not answer"
_FORBIDDEN = "The site does not allow this"
_FULL = "The site ran out of resources"
_CONFLICT = "Another owner holds this at the site"

_UNAUTHORIZED, _FORBIDDEN_STATUS, _NOT_FOUND, _NOT_ACCEPTABLE, _CONFLICT_STATUS, _SERVER_FAILED = 401, 403, 404, 406, 409, 500
_TOO_MANY = frozenset({413, 429})
_FULL_KINDS = frozenset({"IpAddressGenerationFailure", "NoNetworkAvailable", "ExternalIpAddressExhausted"})
_TAKEN_KINDS = frozenset({"IpAddressAlreadyAllocated", "MacAddressInUse", "FloatingIPPortAlreadyAssociated"})

ERRORS = ErrorTable(
    "OpenStack",
    (
        ErrorRow(
            CallError,
            SiteCapacityError,
            _FULL,
            "Request less, clean clusters that are no longer needed, or ask for a larger quota.",
            when=lambda error: error.is_quota or error.kind in _FULL_KINDS,
        ),
        ErrorRow(
            CallError,
            SiteConflictError,
            _CONFLICT,
            "Find the owner with `pragmaspec list site`, then plan again.",
            when=lambda error: error.kind in _TAKEN_KINDS,
        ),
        ErrorRow(
            CallError,
            SiteError,
            "The site does not accept the credentials",
            _CREDENTIALS,
            when=lambda error: error.status == _UNAUTHORIZED,
        ),
        ErrorRow(
            CallError,
            SiteError,
            _FORBIDDEN,
            "The account needs the role member in the project, and the cloud's policy must allow this to it.",
            when=lambda error: error.status == _FORBIDDEN_STATUS,
        ),
        ErrorRow(
            CallError,
            SiteError,
            "An object is missing at the site",
            "It was removed meanwhile, or the site's options name an object that does not exist. Plan again.",
            when=lambda error: error.status == _NOT_FOUND,
        ),
        ErrorRow(
            CallError,
            SiteError,
            "The site is too old",
            "Nova of the release Pike (2017) or newer is needed.",
            when=lambda error: error.status == _NOT_ACCEPTABLE,
        ),
        ErrorRow(
            CallError,
            SiteError,
            "The site is busy with the same object",
            "Wait for the other run to end, then apply again.",
            when=lambda error: error.status == _CONFLICT_STATUS,
        ),
        ErrorRow(
            CallError,
            SiteUnreachableError,
            "The site limits the number of requests",
            "Lower the site's `parallel`, then apply again.",
            when=lambda error: error.status in _TOO_MANY,
        ),
        ErrorRow(
            CallError, SiteUnreachableError, "The site failed", "Apply again.", when=lambda error: error.status >= _SERVER_FAILED
        ),
        ErrorRow(CallError, SiteError, _REFUSED, _AGAIN),
        ErrorRow(keystone.Unauthorized, SiteError, "The site does not accept the credentials", _CREDENTIALS),
        ErrorRow(keystone.Forbidden, SiteError, _FORBIDDEN, _CREDENTIALS),
        ErrorRow(keystone.EndpointNotFound, SiteError, "The site lacks a service", _SERVICES),
        ErrorRow(
            keystone.SSLError,
            SiteUnreachableError,
            _UNREACHABLE,
            _AUTHORITY,
        ),
        ErrorRow(keystone.ConnectFailure, SiteUnreachableError, _UNREACHABLE, _NETWORK),
        ErrorRow(keystone.RetriableConnectionFailure, SiteUnreachableError, _UNREACHABLE, _NETWORK),
        ErrorRow(keystone.ImpliedVersionMismatch, SiteError, _REFUSED, _AGAIN),
        ErrorRow(keystone.AuthPluginException, SiteError, "The credentials of the site are incomplete", _CREDENTIALS),
        ErrorRow(keystone.ClientException, SiteUnreachableError, _UNREACHABLE, _NETWORK),
        ErrorRow(openstack.ConfigException, SiteError, "The site's cloud is not configured", _CREDENTIALS),
        ErrorRow(openstack.SDKException, SiteError, _REFUSED, _AGAIN),
        ErrorRow(
            msgspec.MsgspecError,
            SiteError,
            "The answer of the site is not understood",
            "Report a bug with the cloud's version.",
        ),
    ),
)


def translated(doing: str) -> AbstractContextManager[None]:
    """Raise errors in the block as SiteError. ``doing`` completes "Could not …"."""
    return ERRORS.translated(doing)
