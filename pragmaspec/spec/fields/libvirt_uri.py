"""Field type for libvirt URIs, validated as far as possible without a connection."""

import re

from pragmaspec.net.urls import UrlError, parse_url
from pragmaspec.spec.fields.scalars import ScalarField, text
from pragmaspec.spec.findings import listed
from pragmaspec.spec.value_errors import value_error, value_text
from pragmaspec.text import closest

_DRIVERS = ("qemu", "test")
_TRANSPORTS = ("unix", "ssh", "libssh", "libssh2", "tcp", "tls", "ext")
_SCHEME = re.compile(r"([A-Za-z0-9.-]+)(?:\+([A-Za-z0-9.+-]*))?:")
_PATTERN = rf"^({'|'.join(_DRIVERS)})(\+({'|'.join(_TRANSPORTS)}))?://([^/@:\s]+@)?[!-?A-~]*$"
_ADVICE = "write a libvirt URI such as qemu:///system, without a password"


def libvirt_uri() -> ScalarField:
    """Return a field type for URIs of libvirt's QEMU and test drivers, over any transport, without a password."""
    plain = text(_PATTERN, _ADVICE)

    def read(value: object) -> object:
        scheme = _SCHEME.match(value) if isinstance(value, str) else None
        if scheme:
            _check_known("driver", scheme[1], _DRIVERS)
            _check_known("transport", scheme[2], _TRANSPORTS)
        found = str(plain.read(value))
        try:
            parse_url(found, (found.partition(":")[0],), host_needed=False)
        except UrlError as error:
            raise value_error("Invalid libvirt URI", f"{value_text(found)} is not a valid libvirt URI: {error}") from None
        return found

    return ScalarField(read, plain.schema)


def _check_known(kind: str, name: str | None, known: tuple[str, ...]) -> None:
    if name is not None and name not in known:
        close = closest(name, known)
        advice = f"write `{close}` instead" if close else f"write {listed(known, 'or')}, as in qemu+ssh://root@host/system"
        raise value_error("Invalid libvirt URI", f"the {kind} `{name}` is not supported; {advice}")
