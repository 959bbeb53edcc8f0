"""The address of a libvirt daemon, as far as it can be told to be wrong without asking it."""

import re

from pragmaspec.net.urls import UrlError, parse_url
from pragmaspec.spec.fields.scalars import ScalarField, text
from pragmaspec.spec.findings import closest_match, listed
from pragmaspec.spec.value_errors import value_error, value_text

_DRIVERS = ("qemu", "test")
_TRANSPORTS = ("unix", "ssh", "libssh", "libssh2", "tcp", "tls", "ext")
_SCHEME = re.compile(r"([A-Za-z0-9.-]+)(?:\+([A-Za-z0-9.+-]*))?:")
_PATTERN = rf"^({'|'.join(_DRIVERS)})(\+({'|'.join(_TRANSPORTS)}))?://([^/@:\s]+@)?[!-?A-~]*$"
_ADVICE = "write a libvirt URI such as qemu:///system, without a password"


def libvirt_uri() -> ScalarField:
    """A URI of libvirt's QEMU driver, or of its test driver, over any of its transports, without a password."""
    plain = text(_PATTERN, _ADVICE)

    def read(value: object) -> object:
        scheme = _SCHEME.match(value) if isinstance(value, str) else None
        if scheme:
            _refuse_unknown("hypervisor", scheme[1], _DRIVERS)
            _refuse_unknown("transport", scheme[2], _TRANSPORTS)
        found = str(plain.read(value))
        try:
            parse_url(found, (found.partition(":")[0],), host_needed=False)
        except UrlError as error:
            raise value_error("Unknown libvirt URI", f"{value_text(found)} cannot be used: {error}") from None
        return found

    return ScalarField(read, plain.schema)


def _refuse_unknown(kind: str, name: str | None, known: tuple[str, ...]) -> None:
    if name is not None and name not in known:
        close = closest_match(name, known)
        advice = f"write `{close}` instead" if close else f"write {listed(known, 'or')}, as in qemu+ssh://root@host/system"
        raise value_error("Unknown libvirt URI", f"nothing is known of the {kind} `{name}` in it; {advice}")
