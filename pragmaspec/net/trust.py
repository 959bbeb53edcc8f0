"""Certificates that are trusted when a server shows its own: those of the system, or what the environment names.

``REQUESTS_CA_BUNDLE``, else ``CURL_CA_BUNDLE``, take the place of everything else: a file or a folder. Otherwise the system's
store counts, in which ``SSL_CERT_FILE`` and ``SSL_CERT_DIR`` stand for its file and its folder (OpenSSL,
``SSL_CTX_set_default_verify_paths``).
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
_SHOWN = 200
"""Of a path, which may be a whole certificate, written where the name of a file belongs."""
_HASHED = re.compile(r"[0-9a-fA-F]{8}\.\d+")


class TrustError(Exception):
    """Certificates that a variable names cannot be used: a sentence without a full stop."""


class ConfiguredPath(NamedTuple):
    """A file or folder, and the variable that names it."""

    variable: str
    path: str

    def refused(self, why: str) -> TrustError:
        """The error that names both."""
        shown = self.path if len(self.path) <= _SHOWN else f"{self.path[:_SHOWN]}…"
        return TrustError(f"{self.variable} names {shown}, {why}")


def tls_context(
    environ: Mapping[str, str] = os.environ,
    bundle: ConfiguredPath | None = None,
    own: tuple[ConfiguredPath, ConfiguredPath] | None = None,
) -> ssl.SSLContext:
    """The TLS context of a connection. ``bundle`` overrides the environment; ``own``: the client's certificate and key.

    Raises TrustError if a named file or folder cannot be used.
    """
    bundle = bundle or _first(environ, *BUNDLE_VARIABLES)
    context = _system(environ) if bundle is None else _only(bundle)
    if own:
        _show(context, *own)
    return context


def bundle_file(environ: Mapping[str, str] = os.environ) -> str:
    """The same certificates as one file, for libraries that take nothing else; empty: none were found. Raises TrustError."""
    bundle = _first(environ, *BUNDLE_VARIABLES)
    if bundle is not None:
        check_bundle(bundle)
        return bundle.path if os.path.isfile(bundle.path) else _joined("", bundle.path)  # noqa: PTH113 - as below
    _check_system(environ)
    known = ssl.get_default_verify_paths()
    if known.cafile and not environ.get("SSL_CERT_FILE") and not environ.get("SSL_CERT_DIR"):
        return known.cafile
    return _joined(known.cafile or "", environ.get("SSL_CERT_DIR") or known.capath or "")


def check_bundle(named: ConfiguredPath) -> None:
    """Raise TrustError unless the file or folder has certificates."""
    _load(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), named)


def _first(environ: Mapping[str, str], *names: str) -> ConfiguredPath | None:
    return next((ConfiguredPath(name, value) for name in names if (value := environ.get(name, ""))), None)


def _only(named: ConfiguredPath) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    _load(context, named)
    return context


def _system(environ: Mapping[str, str]) -> ssl.SSLContext:
    import truststore  # noqa: PLC0415 - only a TLS connection needs it

    _check_system(environ)
    return truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def _check_system(environ: Mapping[str, str]) -> None:
    """OpenSSL ignores what is not there, and a person then looks for the fault elsewhere."""
    if file := _first(environ, "SSL_CERT_FILE"):
        if os.path.isdir(file.path):  # noqa: PTH112 - as below
            raise file.refused("which is a folder; name it in SSL_CERT_DIR")
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
        raise named.refused("which holds no certificates in PEM") from None
    except OSError as error:
        raise named.refused(f"which cannot be read: {error.strerror}") from None


def _check_regular(named: ConfiguredPath) -> None:
    """A pipe would be waited for without a limit."""
    try:
        kind = Path(named.path).stat()
    except (OSError, ValueError) as error:
        raise named.refused(f"which cannot be read: {getattr(error, 'strerror', None) or error}") from None
    if not os.path.isfile(named.path) or kind.st_size == 0:  # noqa: PTH113 - as ssl opens it
        raise named.refused("which holds no certificates in PEM" if kind.st_size == 0 else "which is not a file")


def _check_folder(named: ConfiguredPath) -> None:
    try:
        names = os.listdir(named.path)  # noqa: PTH208 - the names alone
    except OSError as error:
        raise named.refused(f"which cannot be read: {error.strerror}") from None
    if not any(_HASHED.fullmatch(name) for name in names):
        raise named.refused(f"which holds no certificates by their hashes; run `openssl rehash {named.path}`")


def _show(context: ssl.SSLContext, certificate: ConfiguredPath, key: ConfiguredPath) -> None:
    _check_regular(certificate)
    _check_regular(key)
    try:
        context.load_cert_chain(certificate.path, key.path, password="")
    except ssl.SSLError:
        both = "" if certificate.path == key.path else f" with the key {key.path} ({key.variable})"
        raise certificate.refused(f"which is not a certificate{both} in PEM without a passphrase") from None
    except OSError as error:
        raise certificate.refused(f"which cannot be read: {error.strerror}") from None


@cache
def _joined(file: str, folders: str) -> str:
    """The certificates of a file and of folders in one file, which lasts as long as this process."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    found = [Path(file)] if file else []
    for folder in filter(None, folders.split(os.pathsep)):
        with suppress(OSError):
            found += sorted(path for path in Path(folder).iterdir() if _HASHED.fullmatch(path.name))
    for path in found:
        with suppress(OSError):
            context.load_verify_locations(cafile=path)
    certificates = context.get_ca_certs(binary_form=True)
    if not certificates:
        return ""
    kept = NamedTemporaryFile(prefix="pragmaspec-", suffix=".pem")  # noqa: SIM115 - kept until the process ends
    _KEPT.append(kept)
    kept.write("".join(ssl.DER_cert_to_PEM_cert(each) for each in certificates).encode())
    kept.flush()
    return kept.name


_KEPT: list[object] = []
"""Open files, which are removed when they are closed."""
