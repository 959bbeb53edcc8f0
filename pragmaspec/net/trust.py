"""TLS trust: the system's certificate store, or the certificates that the environment names.

``REQUESTS_CA_BUNDLE``, else ``CURL_CA_BUNDLE``, a file or a folder, replaces the system's store. In that store, ``SSL_CERT_FILE``
and ``SSL_CERT_DIR`` replace its file and its folder (OpenSSL, ``SSL_CTX_set_default_verify_paths``).
"""

import os
import re
import ssl
from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import NamedTuple

BUNDLE_VARIABLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
_SHOWN_CHARACTERS = 200
"""Characters of a path in a message: the variable may contain a whole certificate instead of a path."""
_HASHED_NAME = re.compile(r"[0-9a-fA-F]{8}\.\d+")


class TrustError(Exception):
    """Configured certificates cannot be used; the message is a clause without a full stop."""


class ConfiguredPath(NamedTuple):
    """A file or folder, and the environment variable (or setting) that names it."""

    variable: str
    path: str

    def error(self, problem: str) -> TrustError:
        """Return an error with the variable, the path and ``problem``, a relative clause."""
        shown = self.path if len(self.path) <= _SHOWN_CHARACTERS else f"{self.path[:_SHOWN_CHARACTERS]}…"
        return TrustError(f"{self.variable} names {shown}, {problem}")


def tls_context(
    environ: Mapping[str, str] = os.environ,
    bundle: ConfiguredPath | None = None,
    own: tuple[ConfiguredPath, ConfiguredPath] | None = None,
) -> ssl.SSLContext:
    """Create a client's TLS context. ``bundle`` overrides the environment; ``own`` is the client's certificate and key.

    Raises TrustError if a configured file or folder cannot be used.
    """
    bundle = bundle or _first(environ, *BUNDLE_VARIABLES)
    context = _system_context(environ) if bundle is None else _bundle_context(bundle)
    if own:
        _load_client_certificate(context, *own)
    return context


def bundle_file(environ: Mapping[str, str] = os.environ) -> str:
    """Return the trusted certificates as one PEM file, for libraries that accept nothing else; empty if there are none.

    Raises TrustError.
    """
    bundle = _first(environ, *BUNDLE_VARIABLES)
    if bundle is not None:
        check_bundle(bundle)
        return bundle.path if os.path.isfile(bundle.path) else _join_certificates("", bundle.path)  # noqa: PTH113 - as below
    _check_system(environ)
    known = ssl.get_default_verify_paths()
    if known.cafile and not environ.get("SSL_CERT_FILE") and not environ.get("SSL_CERT_DIR"):
        return known.cafile
    return _join_certificates(known.cafile or "", environ.get("SSL_CERT_DIR") or known.capath or "")


def check_bundle(named: ConfiguredPath) -> None:
    """Raise TrustError unless the file or folder contains certificates."""
    _load(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), named)


def _first(environ: Mapping[str, str], *names: str) -> ConfiguredPath | None:
    return next((ConfiguredPath(name, value) for name in names if (value := environ.get(name, ""))), None)


def _bundle_context(bundle: ConfiguredPath) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    _load(context, bundle)
    return context


def _system_context(environ: Mapping[str, str]) -> ssl.SSLContext:
    import truststore  # noqa: PLC0415 - only a TLS connection needs it

    _check_system(environ)
    return truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def _check_system(environ: Mapping[str, str]) -> None:
    """Check the files that OpenSSL would silently ignore if they were missing."""
    if file := _first(environ, "SSL_CERT_FILE"):
        if os.path.isdir(file.path):  # noqa: PTH112 - as below
            raise file.error("which is a folder; name it in SSL_CERT_DIR")
        check_bundle(file)
    if folders := _first(environ, "SSL_CERT_DIR"):
        for folder in filter(None, folders.path.split(os.pathsep)):
            _check_folder(ConfiguredPath(folders.variable, folder))


def _load(context: ssl.SSLContext, named: ConfiguredPath) -> None:
    if os.path.isdir(named.path):  # noqa: PTH112 - Path.is_dir raises for long names
        _check_folder(named)
        context.load_verify_locations(capath=named.path)
        return
    _check_regular(named)
    try:
        context.load_verify_locations(cafile=named.path)
    except ssl.SSLError:
        raise named.error("which contains no PEM certificates") from None
    except OSError as error:
        raise named.error(f"which cannot be read: {error.strerror}") from None


def _check_regular(named: ConfiguredPath) -> None:
    """Reject pipes, which would block without a limit."""
    try:
        kind = Path(named.path).stat()
    except (OSError, ValueError) as error:
        raise named.error(f"which cannot be read: {getattr(error, 'strerror', None) or error}") from None
    if not os.path.isfile(named.path) or kind.st_size == 0:  # noqa: PTH113 - as ssl opens it
        raise named.error("which contains no PEM certificates" if kind.st_size == 0 else "which is not a file")


def _check_folder(named: ConfiguredPath) -> None:
    try:
        names = os.listdir(named.path)  # noqa: PTH208 - the names alone
    except OSError as error:
        raise named.error(f"which cannot be read: {error.strerror}") from None
    if not any(_HASHED_NAME.fullmatch(name) for name in names):
        raise named.error(f"which contains no certificates named by hash; run `openssl rehash {named.path}`")


def _load_client_certificate(context: ssl.SSLContext, certificate: ConfiguredPath, key: ConfiguredPath) -> None:
    _check_regular(certificate)
    _check_regular(key)
    try:
        context.load_cert_chain(certificate.path, key.path, password="")
    except ssl.SSLError:
        both = "" if certificate.path == key.path else f" with the key {key.path} ({key.variable})"
        raise certificate.error(f"which is not a PEM certificate{both} without a passphrase") from None
    except OSError as error:
        raise certificate.error(f"which cannot be read: {error.strerror}") from None


@cache
def _join_certificates(file: str, folders: str) -> str:
    """Write the certificates of a file and of folders to one file, which exists as long as this process."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    found = [Path(file)] if file else []
    for folder in filter(None, folders.split(os.pathsep)):
        with suppress(OSError):
            found += sorted(path for path in Path(folder).iterdir() if _HASHED_NAME.fullmatch(path.name))
    for path in found:
        with suppress(OSError):
            context.load_verify_locations(cafile=path)
    certificates = context.get_ca_certs(binary_form=True)
    if not certificates:
        return ""
    bundle = NamedTemporaryFile(prefix="pragmaspec-", suffix=".pem")  # noqa: SIM115 - open until the process ends
    _OPEN_BUNDLES.append(bundle)
    bundle.write("".join(ssl.DER_cert_to_PEM_cert(each) for each in certificates).encode())
    bundle.flush()
    return bundle.name


_OPEN_BUNDLES: list[object] = []
"""Temporary files, which are removed when they are closed."""
