import pytest

from pragmaspec.errors import UsageError
from pragmaspec.net.retry import RetryPolicy
from pragmaspec.state.backends.postgresql.config import postgresql_config
from pragmaspec.state.backends.postgresql.session import connection_options


def test_postgresql_urls():
    config = postgresql_config("postgresql://anna@db.example.org:5433/clusters/hello%20x?schema=teams&sslmode=require")
    assert (config.host, config.port, config.user, config.database, config.name) == (
        "db.example.org",
        "5433",
        "anna",
        "clusters",
        "hello x",
    )
    assert (config.schema, config.ssl) == ("teams", (("sslmode", "require"),))
    assert config.title == "postgresql://db.example.org:5433/clusters/hello x"
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
def test_invalid_postgresql_urls_are_refused(url):
    with pytest.raises(UsageError):
        postgresql_config(url)


def test_each_name_and_schema_has_its_own_lock():
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
def test_a_remote_server_must_present_a_valid_certificate(url, environ, mode):
    options = connection_options(postgresql_config(url), RetryPolicy(), environ, 170000)
    assert options.get("sslmode") == mode
    assert ("sslrootcert" in options) == (mode == "verify-full")
    assert "password" not in options
