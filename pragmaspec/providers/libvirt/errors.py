"""libvirt's errors, translated at the provider's edge by one table: code → kind, kind → our error with its sentences.

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
from pragmaspec.providers.libvirt.host_advice import host_advice

ErrorKind = Literal[
    "unreachable", "forbidden", "conflict", "capacity", "missing", "unsupported", "busy", "late", "internal", "refused"
]


class Translation(NamedTuple):
    """What a kind of failure becomes: the error class, its constant summary, and what the reader can do."""

    error: type[SiteError]
    summary: str
    advice: str


TRANSLATIONS: Mapping[ErrorKind, Translation] = MappingProxyType(
    {
        "unreachable": Translation(
            SiteUnreachableError,
            "The site does not answer",
            "Check the site's `uri`, that its libvirt daemon runs, and that you may reach it: `virsh -c URI version`.",
        ),
        "forbidden": Translation(
            SiteError,
            "The site does not allow this",
            "The account that connects needs libvirt's manage permission: root, or a member of the group libvirt on the host.",
        ),
        "conflict": Translation(
            SiteConflictError,
            "Somebody else holds this at the site",
            "Look at who holds it with `pragmaspec list site`, then plan again.",
        ),
        "capacity": Translation(
            SiteCapacityError,
            "The site ran out of room",
            "Free memory or disk at the site, or ask for less, then apply again.",
        ),
        "missing": Translation(
            SiteError,
            "Something is missing at the site",
            "It was removed meanwhile, or the site's options name something that is not there. Plan again.",
        ),
        "unsupported": Translation(
            SiteError,
            "The site's libvirt cannot do this",
            "Its libvirt or QEMU is too old, or was built without this; `virsh -c URI version` shows which it is.",
        ),
        "busy": Translation(
            SiteError, "The site is busy with the same object", "Wait for the other run to end, then apply again."
        ),
        "late": Translation(SiteError, "The site took too long", "See what the host is doing, then apply again."),
        "internal": Translation(
            SiteError,
            "The site's hypervisor failed",
            "What the host's daemon wrote says more: `journalctl -u libvirtd -u virtqemud`, and of a machine "
            "/var/log/libvirt/qemu/NAME.log.",
        ),
        "refused": Translation(SiteError, "The site refused", "Plan again; if it stays, this is worth a bug report."),
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

KINDS: Mapping[int, ErrorKind] = MappingProxyType(
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
_ROOM_ERRNOS = (errno.ENOSPC, errno.EDQUOT, errno.ENOMEM)
_ROOM_WORDS = ("No space left on device", "Cannot allocate memory", "cannot set up guest memory", "Disk quota exceeded")
"""What QEMU's tools say when they run out; libvirt hands their words on under VIR_ERR_INTERNAL_ERROR."""

_VAGUE: tuple[ErrorKind, ...] = ("capacity", "missing", "internal", "refused")
"""Kinds that say less than the words of the error do."""
_SOCKET_CLOSED = re.compile(r"connect socket to '[^']*': Permission denied")

_NO_DEVICE = re.compile(r"Cannot get interface \w+ on '([^']+)': No such device")


def code_of(error: libvirt.libvirtError) -> int:
    """The ``VIR_ERR_*`` number of ``error``; 0 when libvirt left none."""
    return int(error.get_error_code() or 0)


def kind_of(error: libvirt.libvirtError) -> ErrorKind:
    """What kind of failure ``error`` is: mostly its code, for the codes that mean many things also its errno and words."""
    code = code_of(error)
    kind = KINDS.get(code, "internal")
    if _SOCKET_CLOSED.search(str(error)):
        return "forbidden"
    if kind == "internal":
        number = int(error.get_int1() or 0) if code == libvirt.VIR_ERR_SYSTEM_ERROR else 0
        if number in _ROOM_ERRNOS or any(words in str(error) for words in _ROOM_WORDS):
            return "capacity"
        if error.get_error_domain() in _CONNECTION_DOMAINS or number in _CONNECTION_ERRNOS:
            return "unreachable"
    return kind


def as_site_error(error: libvirt.libvirtError, doing: str, *, kind: ErrorKind | None = None, advice: str = "") -> SiteError:
    """``error`` as one of ours; ``doing`` completes "Could not …". ``kind`` and ``advice``: where the caller knows better."""
    words = words_of(error)
    meaning = TRANSLATIONS[kind] if kind else _meaning(kind_of(error), words)
    device = _NO_DEVICE.search(words)
    if device:
        meaning = Translation(SiteError, "The bridge does not exist", missing_bridge(device[1]))
    detail = f"Could not {doing}. libvirt says: {words}. {advice or meaning.advice}"
    return meaning.error(meaning.summary, detail)


def words_of(error: libvirt.libvirtError) -> str:
    """The message of libvirt's error, without a full stop."""
    return (error.get_error_message() or str(error)).strip().rstrip(".")


def _meaning(kind: ErrorKind, words: str) -> Translation:
    """The meaning of a failure of ``kind``, with advice about the host where ``words`` name a known trouble."""
    meaning = TRANSLATIONS[kind]
    advice = host_advice(words) if kind in _VAGUE else ""
    if not advice:
        return meaning
    return Translation(meaning.error, meaning.summary if kind == "capacity" else "The host stands in the way", advice)


def missing_bridge(name: str) -> str:
    """Advice about a bridge that the host lacks."""
    return f"The host has no bridge {name}. Make it there (ip link add {name} type bridge), or correct the `bridge:` in the spec."


@contextmanager
def translated(doing: str) -> Iterator[None]:
    """Raise libvirt's errors of the block as ours."""
    try:
        yield
    except libvirt.libvirtError as error:
        raise as_site_error(error, doing) from error


class absent_is_fine(AbstractContextManager[None]):  # noqa: N801 - read as a word, like contextlib's suppress
    """End the block quietly when libvirt answers with one of ``codes``: the object vanished, which was the aim or is no news."""

    def __init__(self, *codes: int) -> None:
        self._codes = codes

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> bool:
        return isinstance(error, libvirt.libvirtError) and code_of(error) in self._codes
