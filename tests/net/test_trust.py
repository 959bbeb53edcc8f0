"""Trusted certificates of every network client, with a real authority and real servers."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path

import pytest

from pragmaspec.errors import ImageError, PragmaspecError, StateUnreachableError
from pragmaspec.images.context import ImageContext
from pragmaspec.images.reporter import ImageReporter
from pragmaspec.images.sources.url import UrlSource
from pragmaspec.images.store.blobs import BlobStore
from pragmaspec.images.transfer.google_account import ServiceAccount
from pragmaspec.images.transfer.http import DownloadClient
from pragmaspec.images.transfer.policy import TransferPolicy
from pragmaspec.net.retry import RetryPolicy as StorePatience
from pragmaspec.net.trust import ConfiguredPath, TrustError, bundle_file, check_bundle, tls_context
from pragmaspec.state.backends.http.backend import HttpBackend
from pragmaspec.state.backends.s3.backend import S3Backend
from tests.images import protocols
from tests.net.authority import Authority, tls_server

Client = Callable[[int, Path], None]


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def folder(authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The authority's certificate as OpenSSL finds it in a folder."""
    made = tmp_path_factory.mktemp("certificates")
    shutil.copy(authority.file, made / "authority.pem")
    subprocess.run(["openssl", "rehash", str(made)], check=True)
    return made


@pytest.fixture(scope="module")
def port(authority: Authority) -> Iterator[int]:
    with tls_server(authority.context()) as number:
        yield number


def images(port: int, folder: Path) -> None:
    source = UrlSource(url=f"https://127.0.0.1:{port}/disk", sha256=sha256(b"ok").hexdigest())
    with pytest.raises(ImageError) as ended:
        source.find(ImageContext(BlobStore(folder / "store"), "debian", ImageReporter(), policy=TransferPolicy(first_pause_s=60)))
    if "Image cannot be downloaded" in str(ended.value):
        raise ended.value


def states(port: int, _: Path) -> None:
    HttpBackend(f"https://127.0.0.1:{port}/state", StorePatience(first_pause_s=60)).read()


def states_in_s3(port: int, _: Path) -> None:
    S3Backend(f"s3://states/x?endpoint=https://127.0.0.1:{port}&region=eu-central-1", StorePatience(first_pause_s=60)).read()


def google(port: int, folder: Path) -> None:
    key = protocols.pem(protocols.private_key()).decode()
    account = folder / "account.json"
    account.write_text(json.dumps({"client_email": "a", "private_key": key, "token_uri": f"https://127.0.0.1:{port}/token"}))
    with DownloadClient(TransferPolicy(first_pause_s=60)) as web:
        web.with_retries("the token", lambda: ServiceAccount(str(account)).token(web))


CLIENTS = [images, states, states_in_s3, google]


def trusted(client: Client, port: int, folder: Path) -> bool:
    """True if ``client`` accepts the server's certificate; the answer itself is of no use to it."""
    try:
        client(port, folder)
    except PragmaspecError as error:
        return "certificate was rejected" not in str(error) and "certificate cannot be verified" not in str(error)
    return True


@pytest.mark.parametrize("client", CLIENTS)
def test_an_untrusted_server_is_rejected_without_retries(client: Client, port: int, tmp_path: Path) -> None:
    """A retry would wait for a minute, longer than the test may take."""
    assert not trusted(client, port, tmp_path)


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("variable", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"])
def test_trust_may_come_from_a_file(
    client: Client, variable: str, port: int, authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, str(authority.file))
    assert trusted(client, port, tmp_path)


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("variable", ["REQUESTS_CA_BUNDLE", "SSL_CERT_DIR"])
def test_trust_may_come_from_a_folder(
    client: Client, variable: str, port: int, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, str(folder))
    assert trusted(client, port, tmp_path)


@pytest.mark.parametrize("client", CLIENTS)
def test_a_bundle_replaces_the_system_store(
    client: Client, port: int, authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(Authority(tmp_path, "other").file))
    assert not trusted(client, port, tmp_path)


def test_the_system_store_is_trusted(port: int, authority: Authority, tmp_path: Path) -> None:
    """In a mount namespace where the system's file is that of the authority."""
    system = "/etc/ssl/certs/ca-certificates.crt"
    if not os.path.exists(system):  # noqa: PTH110
        raise AssertionError(f"install ca-certificates: there is no {system}")
    ask = (
        "from pragmaspec.net.http import Session; from pragmaspec.net.trust import bundle_file; "
        f"print(Session().get('https://127.0.0.1:{port}/').text, open(bundle_file()).read().strip())"
    )
    script = f'mount --bind {authority.file} {system} && exec {sys.executable} -c "{ask}"'
    done = subprocess.run(["unshare", "-rm", "sh", "-c", script], capture_output=True, text=True, check=False)
    assert done.stdout.startswith("ok "), done.stderr
    assert authority.file.read_text().strip() in done.stdout


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("variable", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR"])
def test_a_variable_with_a_missing_path_is_reported_by_name(
    client: Client, variable: str, port: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, str(tmp_path / "nothing"))
    with pytest.raises((ImageError, StateUnreachableError), match=rf"{variable} names .*nothing, which cannot be read: No such"):
        client(port, tmp_path)


def test_s3_states_also_use_aws_ca_bundle(
    port: int, authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_CA_BUNDLE", str(authority.file))
    assert trusted(states_in_s3, port, tmp_path)
    monkeypatch.setenv("AWS_CA_BUNDLE", str(tmp_path / "nothing"))
    with pytest.raises(StateUnreachableError, match=r"AWS_CA_BUNDLE .* names .*nothing, which cannot be read"):
        states_in_s3(port, tmp_path)


def test_http_states_have_their_own_variables(
    port: int, authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "nothing"))
    monkeypatch.setenv("PRAGMASPEC_HTTP_CA_FILE", str(authority.file))
    assert trusted(states, port, tmp_path)
    monkeypatch.setenv("PRAGMASPEC_HTTP_KEY_FILE", str(authority.server))
    with pytest.raises(StateUnreachableError, match=r"KEY_FILE names .*, but no certificate is configured"):
        states(port, tmp_path)
    monkeypatch.delenv("PRAGMASPEC_HTTP_KEY_FILE")
    monkeypatch.setenv("PRAGMASPEC_HTTP_CERT_FILE", str(authority.server))
    assert trusted(states, port, tmp_path)
    monkeypatch.setenv("PRAGMASPEC_HTTP_KEY_FILE", str(authority.locked))
    with pytest.raises(StateUnreachableError, match=r"PRAGMASPEC_HTTP_CERT_FILE names .* with the key .*locked"):
        states(port, tmp_path)
    monkeypatch.setenv("PRAGMASPEC_HTTP_KEY_FILE", str(tmp_path / "nothing"))
    with pytest.raises(StateUnreachableError, match=r"PRAGMASPEC_HTTP_KEY_FILE names .*nothing, which cannot be read"):
        states(port, tmp_path)
    monkeypatch.delenv("PRAGMASPEC_HTTP_KEY_FILE")
    monkeypatch.setenv("PRAGMASPEC_HTTP_CERT_FILE", str(authority.file))
    with pytest.raises(StateUnreachableError, match="which is not a PEM certificate"):
        states(port, tmp_path)


def test_unusable_certificate_files_are_explained(tmp_path: Path, folder: Path) -> None:
    text, empty, pipe, bare = tmp_path / "text", tmp_path / "empty", tmp_path / "pipe", tmp_path / "bare"
    text.write_text("-----BEGIN CERTIFICATE-----\nx\n")
    empty.touch()
    os.mkfifo(pipe)
    bare.mkdir()
    for path, why in [
        (text, "contains no PEM certificates"),
        (empty, "contains no PEM certificates"),
        (pipe, "is not a file|no PEM certificates"),
        (bare, "openssl rehash"),
        (Path("a\0b"), "cannot be read: embedded null byte"),
        (text / "x", "cannot be read: Not a directory"),
        (Path("-----BEGIN CERTIFICATE-----\n" * 300), "names -----BEGIN .*…, which cannot be read: File name too long"),
    ]:
        with pytest.raises(TrustError, match=f"(?s){why}"):
            check_bundle(ConfiguredPath("REQUESTS_CA_BUNDLE", str(path)))
    with pytest.raises(TrustError, match="File name too long"):
        tls_context({"SSL_CERT_FILE": "x" * 5000})
    with pytest.raises(TrustError, match="name it in SSL_CERT_DIR"):
        tls_context({"SSL_CERT_FILE": str(folder)})
    with pytest.raises(TrustError, match=r"SSL_CERT_DIR names .*bare, which contains no certificates named by hash"):
        tls_context({"SSL_CERT_DIR": f"{folder}{os.pathsep}{bare}"})
    check_bundle(ConfiguredPath("REQUESTS_CA_BUNDLE", str(folder)))


def test_the_trusted_certificates_are_available_as_one_file(tmp_path: Path, folder: Path, authority: Authority) -> None:
    assert bundle_file({"REQUESTS_CA_BUNDLE": str(authority.file)}) == str(authority.file)
    joined = Path(bundle_file({"REQUESTS_CA_BUNDLE": str(folder)}))
    assert joined.read_text() == authority.file.read_text()
    assert bundle_file({"REQUESTS_CA_BUNDLE": str(folder)}) == str(joined), "once for each process"
