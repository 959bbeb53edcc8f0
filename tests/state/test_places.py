"""What a URL of a state says, for each kind of server."""

import pytest

from pragmaspec.errors import UsageError
from pragmaspec.net.retry import RetryPolicy
from pragmaspec.state.backends.http.config import http_config
from pragmaspec.state.backends.postgresql.config import _options, postgresql_config
from pragmaspec.state.backends.s3.config import S3Config, s3_config

GITLAB = "https://gitlab.example.org/api/v4/projects/12/terraform/state/hello"
GITEA = "https://git.example.org/api/packages/anna/terraform/state/hello"


@pytest.mark.parametrize("url", [GITLAB, GITEA, GITLAB.replace("12", "anna%2Fclusters")])
def test_managed_states_lock_beside_the_state(url):
    place = http_config(url, {})
    assert place.lock_address == place.unlock_address == f"{url}/lock"
    assert (place.update_method, place.lock_method, place.unlock_method) == ("POST", "POST", "DELETE")


def test_other_servers_lock_at_the_address():
    place = http_config("https://h/states/hello?stage=1", {})
    assert (place.lock_address, place.lock_method, place.unlock_method) == ("https://h/states/hello?stage=1", "LOCK", "UNLOCK")
    assert place.title == "https://h/states/hello"
    assert place.write_address("a b&c") == "https://h/states/hello?stage=1&ID=a+b%26c"
    assert http_config("https://h/x?ID=old&a=", {}).write_address("new") == "https://h/x?a=&ID=new"


def test_terraforms_variables_count_when_they_are_set_for_this_address():
    terraform = {
        "TF_HTTP_ADDRESS": "https://h/x",
        "TF_HTTP_LOCK_ADDRESS": "https://h/locks/x",
        "TF_HTTP_LOCK_METHOD": "PUT",
        "TF_HTTP_UNLOCK_METHOD": "DELETE",
        "TF_HTTP_UPDATE_METHOD": "PUT",
    }
    place = http_config("https://h/x", terraform)
    assert (place.lock_address, place.unlock_address) == ("https://h/locks/x", "https://h/locks/x")
    assert (place.update_method, place.lock_method, place.unlock_method) == ("PUT", "PUT", "DELETE")
    assert http_config("https://h/y", terraform).lock_address == "https://h/y"
    ours = http_config("https://h/y", {**terraform, "PRAGMASPEC_HTTP_LOCK_ADDRESS": "https://h/l"})
    assert (ours.lock_address, ours.lock_method) == ("https://h/l", "LOCK")


@pytest.mark.parametrize(
    "url",
    ["https:///x", "ftp://h/x", "https://h/x#y", "https://h:99999/x", f"{GITLAB}/more", "https://u:p@h/x", "https://h/x?token=y"],
)
def test_http_urls_that_cannot_be(url):
    with pytest.raises(UsageError):
        http_config(url, {})


def test_a_method_is_a_word_in_capitals():
    with pytest.raises(UsageError, match="Not an HTTP method"):
        http_config("https://h/x", {"PRAGMASPEC_HTTP_LOCK_METHOD": "LOCK /y HTTP/1.1\r\n"})


def test_s3_urls():
    assert s3_config("s3://our-clusters/a/b%20c.json") == S3Config("our-clusters", "a/b c.json")
    place = s3_config("s3://our.clusters/x?region=eu-central-1&endpoint=https://minio.example.org:9000&profile=team")
    assert place == S3Config("our.clusters", "x", "eu-central-1", "https://minio.example.org:9000", "team")
    assert place.title == "s3://our.clusters/x"


@pytest.mark.parametrize(
    "url",
    [
        "s3://b",
        "s3://bucket/",
        "s3://bucket/x/",
        "s3://Bucket/x",
        "s3:///x",
        "s3://bucket/x?regio=y",
        "s3://bucket/x%1b",
        "s3://k:s@bucket/x",
    ],
)
def test_s3_urls_that_cannot_be(url):
    with pytest.raises(UsageError):
        s3_config(url)


@pytest.mark.parametrize("endpoint", ["minio", "ftp://h", "https://u:p@h", "https://h/?token=x"])
def test_s3_endpoints_that_cannot_be(endpoint):
    with pytest.raises(UsageError):
        s3_config(f"s3://bucket/x?endpoint={endpoint}")


def test_postgresql_urls():
    place = postgresql_config("postgresql://anna@db.example.org:5433/clusters/hello%20x?schema=teams&sslmode=require")
    assert (place.host, place.port, place.user, place.database, place.name) == (
        "db.example.org",
        "5433",
        "anna",
        "clusters",
        "hello x",
    )
    assert (place.schema, place.ssl) == ("teams", (("sslmode", "require"),))
    assert place.title == "postgresql://db.example.org:5433/clusters/hello x"
    assert postgresql_config("postgres:///clusters/a/b?host=/run/postgresql").name == "a/b"


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://db/clusters",
        "postgresql://db/",
        "postgresql://db:x/clusters/a",
        "postgresql://db/clusters/a#b",
        "postgresql://db/clusters/a%00",
        "postgresql://db/clusters/" + "a" * 201,
        "postgresql://db/clusters/a?options=-c%20x",
        "postgresql://anna:x@db/clusters/a",
    ],
)
def test_postgresql_urls_that_cannot_be(url):
    with pytest.raises(UsageError):
        postgresql_config(url)


def test_locks_of_other_names_and_schemas_are_other_locks():
    keys = {postgresql_config(f"postgresql://db/c/{name}").lock_key for name in ("a", "b", "a?schema=x", "a?schema=y")}
    keys.add(postgresql_config("postgresql://db/c/a").schema_lock_key)
    assert len(keys) == 5
    assert all(-(2**63) <= key < 2**63 for key in keys)


@pytest.mark.parametrize(
    ("url", "environ", "mode"),
    [
        ("postgresql://db.example.org/c/a", {}, "verify-full"),
        ("postgresql://db.example.org/c/a?sslmode=require", {}, "require"),
        ("postgresql://db.example.org/c/a", {"PGSSLMODE": "verify-ca"}, None),
        ("postgresql://127.0.0.1/c/a", {}, None),
        ("postgresql://localhost/c/a", {}, None),
        ("postgresql:///c/a?host=/run/postgresql", {}, None),
        ("postgresql:///c/a", {"PGHOST": "db.example.org"}, "verify-full"),
    ],
)
def test_a_server_elsewhere_must_show_its_certificate(url, environ, mode):
    options = _options(postgresql_config(url), RetryPolicy(), environ, 170000)
    assert options.get("sslmode") == mode
    assert ("sslrootcert" in options) == (mode == "verify-full")
    assert "password" not in options
