"""Translation of libvirt's errors by one table: code → kind, kind → SiteError subclass, summary and advice.

Codes: ``virErrorNumber`` in libvirt's ``virterror.h``. The table names them as text because older libraries lack the newer ones.
"""

import errno
import re
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from types import MappingProxyType, TracebackType
from typing import Literal, NamedTuple

import libvirt

from pragmaspec.errors import SiteCapacityError, SiteConflictError, SiteError, SiteUnreachableError
from pragmaspec.providers.libvirt.device_errors import device_failure
from pragmaspec.providers.libvirt.host_advice import host_advice
from pragmaspec.typing import override

ErrorKind = Literal[
    "unreachable", "forbidden", "conflict", "capacity", "missing", "unsupported", "busy", "late", "internal", "refused"
]


class Translation(NamedTuple):
    """The translation of one kind of failure: the error class, its constant summary, and advice to the user."""

    error: type[SiteError]
    summary: str
    advice: str


TRANSLATIONS: Mapping[ErrorKind, Translation] = MappingProxyType(
    {
        "unreachable": Translation(
            SiteUnreachableError,
            "The site does not answer",
            "Check the site's `uri`, that its libvirt daemon runs, and that you can reach it: `virsh -c URI version`.",
        ),
        "forbidden": Translation(
            SiteError,
            "The site does not allow this",
            "The account that connects needs libvirt's manage permission: root, or a member of the group libvirt on the host.",
        ),
        "conflict": Translation(
            SiteConflictError,
            "Another owner holds this at the site",
            "Find the owner with `pragmaspec list site`, then plan again.",
        ),
        "capacity": Translation(
            SiteCapacityError,
            "The site ran out of resources",
            "Free memory or disk space at the site, or request less, then apply again.",
        ),
        "missing": Translation(
            SiteError,
            "An object is missing at the site",
            "It was removed meanwhile, or the site's options name an object that does not exist. Plan again.",
        ),
        "unsupported": Translation(
            SiteError,
            "The site's libvirt cannot do this",
            "Its libvirt or QEMU is too old, or was built without this; `virsh -c URI version` shows the versions.",
        ),
        "busy": Translation(
            SiteError, "The site is busy with the same object", "Wait for the other run to end, then apply again."
        ),
        "late": Translation(SiteError, "The site took too long", "Check the load of the host, then apply again."),
        "internal": Translation(
            SiteError,
            "The site's hypervisor failed",
            "See the host's daemon log: `journalctl -u libvirtd -u virtqemud`, and for a machine /var/log/libvirt/qemu/NAME.log.",
        ),
        "refused": Translation(SiteError, "The site refused the request", "Plan again; if it persists, report a bug."),
    }
)

_BY_KIND: Mapping[ErrorKind, str] = MappingProxyType(
    {
        "unreachable": "NO_CONNECT UNKNOWN_HOST INVALID_CONN RPC GNUTLS_ERROR AUTH_FAILED AUTH_CANCELLED AUTH_UNAVAILABLE SSH "
        "LIBSSH NO_SERVER NO_CLIENT NO_HOSTNAME HTTP_ERROR GET_FAILED POST_FAILED",
        "forbidden": "OPERATION_DENIED ACCESS_DENIED",
        "conflict": "DOM_EXIST NETWORK_EXIST STORAGE_VOL_EXIST NETWORK_PORT_EXIST STORAGE_POOL_BUILT MULTIPLE_DOMAINS "
        "MULTIPLE_INTERFACES",
        "capacity": "NO_MEMORY",
        "missing": "NO_DOMAIN NO_NETWORK NO_STORAGE_POOL NO_STORAGE_VOL NO_INTERFACE NO_NODE_DEVICE NO_NWFILTER NO_SECRET "
        "NO_DOMAIN_SNAPSHOT NO_DOMAIN_METADATA NO_DOMAIN_CHECKPOINT NO_DOMAIN_BACKUP NO_NWFILTER_BINDING NO_NETWORK_PORT "
        "NO_DEVICE NO_SOURCE NO_TARGET NO_KERNEL NO_ROOT DEVICE_MISSING INVALID_DOMAIN INVALID_NETWORK INVALID_STORAGE_POOL "
        "INVALID_STORAGE_VOL INVALID_INTERFACE INVALID_NODE_DEVICE INVALID_NWFILTER INVALID_SECRET INVALID_DOMAIN_SNAPSHOT "
        "INVALID_NWFILTER_BINDING INVALID_DOMAIN_CHECKPOINT INVALID_NETWORK_PORT",
        "unsupported": "NO_SUPPORT CONFIG_UNSUPPORTED ARGUMENT_UNSUPPORTED OPERATION_UNSUPPORTED OS_TYPE NO_OS NO_NAME NO_XEN "
        "NO_XENSTORE XEN_CALL SEXPR_SERIAL NO_SECURITY_MODEL CPU_INCOMPATIBLE XML_INVALID_SCHEMA MIGRATE_UNSAFE "
        "SNAPSHOT_REVERT_RISKY DRIVER_FULL",
        "busy": "RESOURCE_BUSY BLOCK_COPY_ACTIVE",
        "late": "OPERATION_TIMEOUT AGENT_UNRESPONSIVE AGENT_UNSYNCED OPERATION_ABORTED",
        "internal": "OK INTERNAL_ERROR SYSTEM_ERROR CALL_FAILED OPEN_FAILED READ_FAILED WRITE_FAILED BUILD_FIREWALL "
        "HOOK_SCRIPT_FAILED STORAGE_PROBE_FAILED DBUS_SERVICE INVALID_STREAM CONF_SYNTAX MIGRATE_PERSIST_FAILED "
        "MIGRATE_FINISH_OK CHECKPOINT_INCONSISTENT",
        "refused": "OPERATION_FAILED OPERATION_INVALID INVALID_ARG INVALID_MAC XML_ERROR XML_DETAIL PARSE_FAILED OVERFLOW",
    }
)

KIND_BY_CODE: Mapping[int, ErrorKind] = MappingProxyType(
    {
        code: kind
        for kind, names in _BY_KIND.items()
        for name in names.split()
        if (code := getattr(libvirt, f"VIR_ERR_{name}", None)) is not None
    }
)

_CONNECTION_DOMAINS = (libvirt.VIR_FROM_RPC, libvirt.VIR_FROM_REMOTE)
_CONNECTION_ERRNOS = (
    errno.ECONNREFUSED,
    errno.ECONNRESET,
    errno.EPIPE,
    errno.ETIMEDOUT,
    errno.EHOSTUNREACH,
    errno.ENETUNREACH,
)
_CAPACITY_ERRNOS = (errno.ENOSPC, errno.EDQUOT, errno.ENOMEM)
_CAPACITY_MESSAGES = ("No space left on device", "Cannot allocate memory", "cannot set up guest memory", "Disk quota exceeded")
"""Messages of QEMU's tools about exhausted resources; libvirt passes them on under VIR_ERR_INTERNAL_ERROR."""

_VAGUE: tuple[ErrorKind, ...] = ("capacity", "missing", "internal", "refused")
"""Kinds that are less specific than the message of the error."""
_SOCKET_DENIED = re.compile(r"connect socket to '[^']*': Permission denied")

_NO_DEVICE = re.compile(r"Cannot get interface \w+ on '([^']+)': No such device")


def code_of(error: libvirt.libvirtError) -> int:
    """The ``VIR_ERR_*`` number of ``error``; 0 when libvirt gave none."""
    return int(error.get_error_code() or 0)


def kind_of(error: libvirt.libvirtError) -> ErrorKind:
    """The kind of failure, by the error's code; for ambiguous codes also by its errno and message."""
    code = code_of(error)
    kind = KIND_BY_CODE.get(code, "internal")
    if _SOCKET_DENIED.search(str(error)):
        return "forbidden"
    if kind == "internal":
        number = int(error.get_int1() or 0) if code == libvirt.VIR_ERR_SYSTEM_ERROR else 0
        if number in _CAPACITY_ERRNOS or any(message in str(error) for message in _CAPACITY_MESSAGES):
            return "capacity"
        if error.get_error_domain() in _CONNECTION_DOMAINS or number in _CONNECTION_ERRNOS:
            return "unreachable"
    return kind


def as_site_error(error: libvirt.libvirtError, doing: str, *, kind: ErrorKind | None = None, advice: str = "") -> SiteError:
    """Translate ``error``; ``doing`` completes "Could not …". ``kind`` and ``advice`` override the table."""
    message = message_of(error)
    translation = TRANSLATIONS[kind] if kind else _translation(kind_of(error), message)
    device = _NO_DEVICE.search(message)
    if device:
        translation = Translation(SiteError, "The bridge does not exist", missing_bridge_advice(device[1]))
    detail = f"Could not {doing}. libvirt reports: {message}. {advice or translation.advice}"
    return translation.error(translation.summary, detail)


def message_of(error: libvirt.libvirtError) -> str:
    """The error message of libvirt, without a full stop."""
    return (error.get_error_message() or str(error)).strip().rstrip(".")


def _translation(kind: ErrorKind, message: str) -> Translation:
    """The translation of a failure of ``kind``, with advice about the host where ``message`` names a known cause."""
    translation = TRANSLATIONS[kind]
    failure = device_failure(message)
    if failure is not None:
        return Translation(*failure)
    advice = host_advice(message) if kind in _VAGUE else ""
    if not advice:
        return translation
    return Translation(translation.error, translation.summary if kind == "capacity" else "The host prevents this", advice)


def missing_bridge_advice(name: str) -> str:
    """Advice for a bridge that the host lacks."""
    return (
        f"The host has no bridge {name}. Create it there (ip link add {name} type bridge), or correct the `bridge:` in the spec."
    )


@contextmanager
def translated(doing: str) -> Iterator[None]:
    """Translate libvirt's errors that the block raises."""
    try:
        yield
    except libvirt.libvirtError as error:
        raise as_site_error(error, doing) from error


class ignoring(AbstractContextManager[None]):  # noqa: N801 - a context manager like contextlib.suppress
    """Suppress libvirt errors with one of ``codes``: the object is gone, which is the aim or no problem."""

    def __init__(self, *codes: int) -> None:
        self._codes = codes

    @override
    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> bool:
        return isinstance(error, libvirt.libvirtError) and code_of(error) in self._codes
