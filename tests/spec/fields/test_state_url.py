"""The location of the state in the spec, and the rejection of secrets in it."""

from collections.abc import Callable

import pytest

from pragmaspec.credentials import CREDENTIAL_SOURCES, check_state_url
from pragmaspec.errors import SpecError
from pragmaspec.report.problems_text import problems_text
from pragmaspec.spec.fields.state_url import CREDENTIALS
from pragmaspec.spec.loaded_spec import LoadedSpec
from pragmaspec.spec.value_errors import without_credentials

Load = Callable[[str], LoadedSpec]
SECRET = "correct-horse"


@pytest.mark.parametrize(
    "url",
    [
        "state/elsewhere",
        "../states/hello",
        "/srv/states/hello",
        "file:/srv/states/hello",
        "https://git.example.org/api/v4/projects/7/terraform/state/hello",
        "http://localhost:8080/state?keep=10",
        "s3://clusters/hello/world.json?region=eu-west-1",
        "postgresql://ada@db.example.org:5432/clusters/hello?sslmode=verify-full",
        "postgresql:///clusters/hello",
        "postgres://db/clusters/hello",
    ],
)
def test_valid_state_locations(url: str, load: Load) -> None:
    for text in (f"state: {url}\n", f"state: {{url: '{url}'}}\n", f"state:\n  url: {url}\n  encrypt: true\n"):
        state = load(text + "clusters: {}\n").model.state
        assert state is not None
        assert state.url == url
        assert state.encrypt is ("encrypt" in text)
        if ":" in url and not url.startswith("file:"):
            check_state_url(url)  # the state backends accept it too


@pytest.mark.parametrize(
    "url",
    [
        f"https://ada:{SECRET}@git.example.org/hello",
        f"https://{SECRET}@git.example.org/hello",
        f"s3://{SECRET}@clusters/hello",
        f"postgresql://ada:{SECRET}@db/clusters",
        f"postgresql://db/clusters?password={SECRET}",
        f"https://git.example.org/hello?private_token={SECRET}",
        f"https://git.example.org/hello?X-Amz-Signature={SECRET}&x=1",
        f"https://git.example.org/hello?apikey={SECRET}#x",
    ],
)
def test_secrets_are_rejected_and_not_shown(url: str, load: Load) -> None:
    for text in (f"state: {url}\n", f'state: {{url: "{url}"}}\n'):
        with pytest.raises(SpecError, match="Secret in the spec") as caught:
            load(text + "clusters: {}\n")
        assert SECRET not in problems_text(caught.value.problems, width=100, colour=False)
        assert SECRET not in str(caught.value)
    assert SECRET not in without_credentials(url)


@pytest.mark.parametrize("url", ["https://", "http:///path", "s3://clusters", "s3:///hello", "https://[::1/x", "s3:clusters"])
def test_urls_without_a_location_are_rejected(url: str, load: Load) -> None:
    with pytest.raises(SpecError, match="Invalid state location"):
        load(f"state: '{url}'\nclusters: {{}}\n")


def test_the_messages_name_the_sources_of_credentials() -> None:
    assert CREDENTIALS.keys() == CREDENTIAL_SOURCES.keys()
    for scheme, where in CREDENTIALS.items():
        for word in where.replace("(or", "").replace(")", "").split(" and "):
            assert word.split()[0] in CREDENTIAL_SOURCES[scheme]
