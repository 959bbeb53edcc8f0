import pytest

from pragmaspec.credentials import Basic, Bearer, check_state_url, http_credentials
from pragmaspec.errors import UsageError
from pragmaspec.net.urls import is_loopback, redact_url

CANARY = "canary-5f1d"


@pytest.mark.parametrize(
    ("url", "source"),
    [
        (f"https://anna:{CANARY}@example.org/x", "PRAGMASPEC_HTTP_PASSWORD"),
        (f"https://{CANARY}@example.org/x", "PRAGMASPEC_HTTP_PASSWORD"),
        (f"https://example.org/x?private_token={CANARY}", "private_token"),
        (f"https://example.org/x?a=b&Password={CANARY}", "Password"),
        (f"s3://key:{CANARY}@bucket/x", "AWS_PROFILE"),
        (f"s3://bucket/x?X-Amz-Signature={CANARY}", "X-Amz-Signature"),
        (f"postgresql://anna:{CANARY}@db/clusters/x", "PGPASSWORD"),
        ("postgresql://anna:@db/clusters/x", "PGPASSWORD"),
        (f"postgres://db/clusters/x?password={CANARY}", "PGPASSWORD"),
        (f"postgres://db/clusters/x?passfile=/{CANARY}", "PGPASSWORD"),
    ],
)
def test_a_url_with_a_secret_is_refused_without_repeating_it(url, source):
    with pytest.raises(UsageError) as caught:
        check_state_url(url)
    assert source in str(caught.value)
    assert CANARY not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "https://example.org/x?stage=tokyo",
        "postgresql://anna@db/clusters/x",
        "s3://bucket/key?region=eu-central-1",
        "http://[::1]:80/x",
    ],
)
def test_a_url_without_a_secret_is_accepted(url):
    check_state_url(url)


def test_a_redacted_url_has_no_secret_parts():
    assert redact_url(f"https://a:{CANARY}@h:1/p?{CANARY}#{CANARY}") == "https://h:1/p"


@pytest.mark.parametrize(
    ("url", "environ", "found"),
    [
        ("https://h/x", {}, None),
        ("https://h/x", {"PRAGMASPEC_HTTP_USERNAME": "u", "PRAGMASPEC_HTTP_PASSWORD": "p"}, Basic("u", "p")),
        ("https://h/x", {"PRAGMASPEC_HTTP_TOKEN": "t"}, Bearer("t")),
        ("http://127.0.0.1:1/x", {"PRAGMASPEC_HTTP_TOKEN": "t"}, Bearer("t")),
        # Terraform's variables apply only to the server for which they were set.
        ("https://h/x", {"TF_HTTP_ADDRESS": "https://h/y", "TF_HTTP_USERNAME": "u", "TF_HTTP_PASSWORD": "p"}, Basic("u", "p")),
        ("https://evil/x", {"TF_HTTP_ADDRESS": "https://h/y", "TF_HTTP_USERNAME": "u", "TF_HTTP_PASSWORD": "p"}, None),
        ("https://h:8443/x", {"TF_HTTP_ADDRESS": "https://h/y", "TF_HTTP_USERNAME": "u", "TF_HTTP_PASSWORD": "p"}, None),
        ("https://h/x", {"TF_HTTP_USERNAME": "u", "TF_HTTP_PASSWORD": "p"}, None),
        # The token of a GitLab job applies only to that GitLab.
        ("https://g/api/v4/p", {"CI_API_V4_URL": "https://g/api/v4", "CI_JOB_TOKEN": "t"}, Basic("gitlab-ci-token", "t")),
        ("https://h/api/v4/p", {"CI_API_V4_URL": "https://g/api/v4", "CI_JOB_TOKEN": "t"}, None),
        ("https://g/api/v4evil", {"CI_API_V4_URL": "https://g/api/v4", "CI_JOB_TOKEN": "t"}, None),
        ("https://g/x", {"CI_JOB_TOKEN": "t"}, None),
    ],
)
def test_sources_of_http_credentials(url, environ, found):
    assert http_credentials(url, environ) == found


def test_incomplete_credentials_are_refused():
    for name, other in [("USERNAME", "PASSWORD"), ("PASSWORD", "USERNAME")]:
        with pytest.raises(UsageError, match=f"PRAGMASPEC_HTTP_{other} is not set"):
            http_credentials("https://h/x", {f"PRAGMASPEC_HTTP_{name}": "x"})


def test_credentials_are_not_sent_unencrypted():
    with pytest.raises(UsageError, match="Credentials would be sent unencrypted"):
        http_credentials("http://example.org/x", {"PRAGMASPEC_HTTP_TOKEN": CANARY})


@pytest.mark.parametrize(
    ("host", "loopback"),
    [("localhost", True), ("127.0.0.9", True), ("::1", True), ("10.0.0.1", False), ("localhost.evil.org", False)],
)
def test_loopback_hosts(host, loopback):
    assert is_loopback(host) is loopback
