"""TLS, credentials, and secrets that never appear in output."""

import datetime as dt
import logging

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from pragmaspec.errors import StateUnreachableError, UsageError
from pragmaspec.state.backends.http.backend import HttpBackend
from pragmaspec.state.backends.http.client import StateHttpClient
from tests.images.raw_server import RawServer
from tests.state.backends.faulty_proxy import FaultyProxy
from tests.state.backends.http_server import PASSWORD, StateServer
from tests.state.backends.postgresql_server import free_port
from tests.state.backends.runs import whole_run
from tests.state.backends.samples import FAST_RETRY, holder


def _certificate(path, name="localhost", days=30):
    """Write a self-signed certificate and its key to one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=60))
        .not_valid_after(now + dt.timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    secret = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path.write_bytes(made.public_bytes(serialization.Encoding.PEM) + secret)
    return path


def _run(port, environ):
    return whole_run(HttpBackend(f"https://localhost:{port}/states/x", FAST_RETRY, environ))


def test_a_server_with_a_valid_certificate_is_trusted(tmp_path):
    path = _certificate(tmp_path / "good.pem")
    with StateServer("plain") as server:
        server.secured(path)
        assert _run(server.port, {"PRAGMASPEC_HTTP_CA_FILE": str(path)}).error is None


@pytest.mark.parametrize(
    ("name", "days", "known"), [("localhost", 30, False), ("other.example.org", 30, True), ("localhost", -1, True)]
)
def test_an_unknown_wrong_or_expired_certificate_is_refused(tmp_path, name, days, known):
    path = _certificate(tmp_path / "bad.pem", name, days)
    with StateServer("plain") as server:
        server.secured(path)
        environ = {"PRAGMASPEC_HTTP_CA_FILE": str(path)} if known else {}
        error = _run(server.port, environ).error
        assert isinstance(error, StateUnreachableError)
        assert "is not trusted" in str(error)
        assert "object at 0x" not in str(error)
        assert server.requests == []


def test_a_missing_certificate_file_is_reported(tmp_path):
    with pytest.raises(StateUnreachableError, match="A certificate file cannot be used"):
        HttpBackend("https://localhost:1/x", FAST_RETRY, {"PRAGMASPEC_HTTP_CA_FILE": str(tmp_path / "none")}).read()


def test_the_password_appears_only_in_the_request(caplog):
    caplog.set_level(logging.DEBUG)
    with StateServer("gitlab") as server, FaultyProxy(server.port) as proxy:
        backend = HttpBackend(server.url("x", proxy.port), FAST_RETRY, server.environment)
        assert whole_run(backend).error is None
        proxy.on("say", lambda method, path: True, times=100, status=500, body=PASSWORD.encode())
        with pytest.raises(StateUnreachableError) as caught:
            backend.read()
        assert PASSWORD not in str(caught.value)
        assert PASSWORD not in server.states["x"].body.decode()
        assert all(PASSWORD not in path for _, path in server.requests)
    assert PASSWORD not in caplog.text


def test_a_wrong_password_is_not_an_absent_state():
    with StateServer("gitlab") as server:
        wrong = {**server.environment, "PRAGMASPEC_HTTP_PASSWORD": "wrong"}
        backend = HttpBackend(server.url("x"), FAST_RETRY, wrong)
        for question in (backend.read, backend.holder, lambda: backend.lock(holder("one"))):
            with pytest.raises(StateUnreachableError, match=r"401.*PRAGMASPEC_HTTP_USERNAME"):
                question()


def test_a_hidden_project_is_not_an_absent_state():
    with StateServer("gitlab") as server:
        backend = HttpBackend(
            f"http://127.0.0.1:{server.port}/api/v4/projects/8/terraform/state/x", FAST_RETRY, server.environment
        )
        with pytest.raises(StateUnreachableError, match="404"):
            backend.read()


def test_netrc_credentials_are_used_for_their_host(tmp_path, monkeypatch):
    (tmp_path / "netrc").write_text(f"machine 127.0.0.1 login anna password {PASSWORD}\n")
    (tmp_path / "netrc").chmod(0o600)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    with StateServer("gitlab") as server:
        assert whole_run(HttpBackend(server.url("x"), FAST_RETRY, {})).error is None


def test_a_binary_netrc_file_is_reported(tmp_path, monkeypatch):
    (tmp_path / "netrc").write_bytes(b"machine h login \xff password y\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    with pytest.raises(UsageError, match="is not UTF-8 text"):
        StateHttpClient("https://h/x", FAST_RETRY, {})


def test_a_non_ascii_token_is_refused():
    with pytest.raises(UsageError, match="a non-ASCII character"):
        StateHttpClient("https://h/x", FAST_RETRY, {"PRAGMASPEC_HTTP_TOKEN": "tök€n"})


@pytest.mark.parametrize(
    ("response", "words"),
    [
        (b"SSH-2.0-OpenSSH_9.2\r\n", "does not speak HTTP"),
        (b"HTTP/1.1 302 Found\r\nLocation: http://[::1\r\nContent-Length: 0\r\n\r\n", "302 Found"),
        (b"HTTP/1.1 302 Found\r\nLocation: http://h:99999/\xff\r\nContent-Length: 999999999\r\n\r\n", "no response"),
        (b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc", "no response"),
        (b"HTTP/1.1 403 \x1b[31m\xff\r\nContent-Length: 0\r\n\r\n", "403"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\na", "contradict"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz", "no response"),
        (b"HTTP/1.1 300 Many\r\nContent-Length: 0\r\n\r\n", "300 Many"),
    ],
)
def test_any_response_ends_in_a_clear_error(response, words):
    with RawServer(response) as server, pytest.raises(StateUnreachableError, match=words) as caught:
        HttpBackend(f"http://127.0.0.1:{server.port}/x", FAST_RETRY, {}).read()
    assert str(caught.value).isprintable()


def test_interim_responses_are_skipped():
    with RawServer(b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n") as server:
        assert HttpBackend(f"http://127.0.0.1:{server.port}/x", FAST_RETRY, {}).read().snapshot is None


def test_a_token_is_sent_as_bearer_and_control_characters_are_refused():
    with pytest.raises(UsageError, match="control character"):
        StateHttpClient("https://h/x", FAST_RETRY, {"PRAGMASPEC_HTTP_TOKEN": "abc\n"})


def test_a_redirect_is_not_followed():
    with StateServer("plain") as server, FaultyProxy(server.port) as proxy:
        proxy.on("say", lambda method, path: True, status=302)
        with pytest.raises(StateUnreachableError, match="302"):
            HttpBackend(server.url("x", proxy.port), FAST_RETRY, {}).read()
        assert server.requests == []


def test_an_absent_server_is_reported_after_a_few_attempts():
    with pytest.raises(StateUnreachableError, match=r"no response \(Connection refused\)\. Check the network"):
        HttpBackend(f"http://127.0.0.1:{free_port()}/x", FAST_RETRY, {}).read()
