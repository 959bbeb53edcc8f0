"""TLS, credentials, and nothing secret where it can be seen."""

import datetime as dt
import logging

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from pragmaspec.errors import StateUnreachableError, UsageError
from pragmaspec.state.backends.http.backend import HttpBackend
from pragmaspec.state.backends.http.client import HttpClient
from tests.images.raw_server import RawServer
from tests.state.backends.faulty_proxy import FaultyProxy
from tests.state.backends.http_server import PASSWORD, StateServer
from tests.state.backends.postgresql_server import free_port
from tests.state.backends.runs import whole_run
from tests.state.backends.samples import HASTY, holder


def _certificate(path, name="localhost", days=30):
    """A certificate that signs itself, with its key, in one file."""
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
    return whole_run(HttpBackend(f"https://localhost:{port}/states/x", HASTY, environ))


def test_a_server_with_a_good_certificate_is_trusted(tmp_path):
    path = _certificate(tmp_path / "good.pem")
    with StateServer("plain") as server:
        server.secured(path)
        assert _run(server.port, {"PRAGMASPEC_HTTP_CA_FILE": str(path)}).error is None


@pytest.mark.parametrize(
    ("name", "days", "known"), [("localhost", 30, False), ("other.example.org", 30, True), ("localhost", -1, True)]
)
def test_a_certificate_that_is_unknown_or_wrong_or_expired_stops_everything(tmp_path, name, days, known):
    path = _certificate(tmp_path / "bad.pem", name, days)
    with StateServer("plain") as server:
        server.secured(path)
        environ = {"PRAGMASPEC_HTTP_CA_FILE": str(path)} if known else {}
        error = _run(server.port, environ).error
        assert isinstance(error, StateUnreachableError)
        assert "not to be trusted" in str(error)
        assert "object at 0x" not in str(error)
        assert server.requests == []


def test_a_certificate_file_that_is_not_there_is_said(tmp_path):
    with pytest.raises(StateUnreachableError, match="A certificate file cannot be used"):
        HttpBackend("https://localhost:1/x", HASTY, {"PRAGMASPEC_HTTP_CA_FILE": str(tmp_path / "none")}).read()


def test_the_password_is_nowhere_but_in_the_request(caplog):
    caplog.set_level(logging.DEBUG)
    with StateServer("gitlab") as server, FaultyProxy(server.port) as proxy:
        ground = HttpBackend(server.url("x", proxy.port), HASTY, server.environment)
        assert whole_run(ground).error is None
        proxy.on("say", lambda method, path: True, times=100, status=500, body=PASSWORD.encode())
        with pytest.raises(StateUnreachableError) as refused:
            ground.read()
        assert PASSWORD not in str(refused.value)
        assert PASSWORD not in server.states["x"].body.decode()
        assert all(PASSWORD not in path for _, path in server.requests)
    assert PASSWORD not in caplog.text


def test_a_wrong_password_is_not_an_absent_state():
    with StateServer("gitlab") as server:
        wrong = {**server.environment, "PRAGMASPEC_HTTP_PASSWORD": "wrong"}
        ground = HttpBackend(server.url("x"), HASTY, wrong)
        for question in (ground.read, ground.holder, lambda: ground.lock(holder("one"))):
            with pytest.raises(StateUnreachableError, match=r"401.*PRAGMASPEC_HTTP_USERNAME"):
                question()


def test_a_project_that_may_not_be_seen_is_not_an_absent_state():
    with StateServer("gitlab") as server:
        ground = HttpBackend(f"http://127.0.0.1:{server.port}/api/v4/projects/8/terraform/state/x", HASTY, server.environment)
        with pytest.raises(StateUnreachableError, match="404"):
            ground.read()


def test_credentials_of_netrc_are_used_for_their_host(tmp_path, monkeypatch):
    (tmp_path / "netrc").write_text(f"machine 127.0.0.1 login anna password {PASSWORD}\n")
    (tmp_path / "netrc").chmod(0o600)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    with StateServer("gitlab") as server:
        assert whole_run(HttpBackend(server.url("x"), HASTY, {})).error is None


def test_a_netrc_file_that_is_no_text_is_said(tmp_path, monkeypatch):
    (tmp_path / "netrc").write_bytes(b"machine h login \xff password y\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    with pytest.raises(UsageError, match="is not text in UTF-8"):
        HttpClient("https://h/x", HASTY, {})


def test_a_token_beyond_ascii_is_said():
    with pytest.raises(UsageError, match="a letter beyond ASCII"):
        HttpClient("https://h/x", HASTY, {"PRAGMASPEC_HTTP_TOKEN": "tök€n"})


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (b"SSH-2.0-OpenSSH_9.2\r\n", "does not speak HTTP"),
        (b"HTTP/1.1 302 Found\r\nLocation: http://[::1\r\nContent-Length: 0\r\n\r\n", "302 Found"),
        (b"HTTP/1.1 302 Found\r\nLocation: http://h:99999/\xff\r\nContent-Length: 999999999\r\n\r\n", "no answer"),
        (b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc", "no answer"),
        (b"HTTP/1.1 403 \x1b[31m\xff\r\nContent-Length: 0\r\n\r\n", "403"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\na", "contradict"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz", "no answer"),
        (b"HTTP/1.1 300 Many\r\nContent-Length: 0\r\n\r\n", "300 Many"),
    ],
)
def test_whatever_a_server_sends_ends_in_a_sentence(answer, words):
    with RawServer(answer) as server, pytest.raises(StateUnreachableError, match=words) as refused:
        HttpBackend(f"http://127.0.0.1:{server.port}/x", HASTY, {}).read()
    assert str(refused.value).isprintable()


def test_interim_answers_are_passed_over():
    with RawServer(b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n") as server:
        assert HttpBackend(f"http://127.0.0.1:{server.port}/x", HASTY, {}).read().snapshot is None


def test_a_token_goes_as_a_bearer_and_control_characters_are_refused():
    with pytest.raises(UsageError, match="control character"):
        HttpClient("https://h/x", HASTY, {"PRAGMASPEC_HTTP_TOKEN": "abc\n"})


def test_a_redirect_is_not_followed():
    with StateServer("plain") as server, FaultyProxy(server.port) as proxy:
        proxy.on("say", lambda method, path: True, status=302)
        with pytest.raises(StateUnreachableError, match="302"):
            HttpBackend(server.url("x", proxy.port), HASTY, {}).read()
        assert server.requests == []


def test_nobody_there_is_said_after_a_few_tries():
    with pytest.raises(StateUnreachableError, match=r"no answer \(Connection refused\)\. Check the network"):
        HttpBackend(f"http://127.0.0.1:{free_port()}/x", HASTY, {}).read()
