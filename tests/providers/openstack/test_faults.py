"""Every kind of fault at every call of every verb of the provider, at a real OpenStack.

A verb succeeds or raises SiteError. After one repetition the services list each wanted object once, and after clean nothing.
"""

from base64 import b64encode
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from pragmaspec.errors import SiteError
from tests.labs.openstack.lab import OpenStackLab
from tests.labs.openstack.servers import account
from tests.providers.openstack.journey import CANARY, Journey, Verb, cloud_site
from tests.providers.openstack.project_listing import ProjectListing
from tests.providers.openstack.proxy import KINDS, UNDONE, Call, CloudProxy

pytestmark = pytest.mark.openstack

VERBS = ("identity", "inventory", "allocate", "stage", "allocate volume", "boot", "boot again", "observe", "grow volume",
         "grow disks", "shutdown", "start with disks", "remove_duplicate", "resize", "clean node", "clean volume", "clean image",
         "clean allocation")  # fmt: skip
SERVICES = ("identity", "compute", "network", "image", "volumev3")


class Trial:
    """A journey through a proxy that injects faults."""

    def __init__(self, journey: Journey, proxy: CloudProxy) -> None:
        self.journey, self.proxy = journey, proxy

    def verb(self, name: str) -> Verb:
        return next(verb for verb in self.journey.verbs() if verb.name == name)

    def attempt(self, verb: Verb) -> SiteError | None:
        """Call ``verb`` as a new process does; an error must be a SiteError without secrets."""
        provider = self.journey.open()
        try:
            verb.call(provider)
        except SiteError as error:
            text = f"{error} {error!r} {error.__cause__} {error.__cause__!r}"
            secrets = {CANARY, b64encode(CANARY.encode()).decode()[:20], *self.proxy.tokens}
            assert not [secret for secret in secrets if secret in text], text
            return error
        finally:
            provider.close()
            self.proxy.settle()
        return None

    def check(self, verb: Verb, context: object) -> None:
        """The services list what they must list after ``verb``."""
        self.journey.state = verb.end
        assert self.journey.listing.lines() == self.journey.expected(verb.end), context

    def calls(self, verb: Verb) -> list[Call]:
        """Make the calls of ``verb`` without faults, and return them."""
        self.proxy.inject(lambda _: None)
        self.journey.begin(verb)
        self.proxy.inject(lambda _: None)
        assert self.attempt(verb) is None
        made = self.proxy.calls
        self.check(verb, "without faults")
        return made


@pytest.fixture(scope="module")
def proxy(openstack_lab: OpenStackLab) -> Iterator[CloudProxy]:
    urls = account(openstack_lab, "other").urls
    addresses = {name: urlsplit(urls[name]) for name in SERVICES}
    with CloudProxy({name: f"{url.scheme}://{url.netloc}" for name, url in addresses.items()}) as proxy:
        yield proxy


@pytest.fixture
def trial(openstack_lab: OpenStackLab, proxy: CloudProxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Trial]:
    clouds = tmp_path / "clouds.yaml"
    text = openstack_lab.clouds_file.read_text(encoding="utf-8")
    clouds.write_text(text.replace(openstack_lab.auth_url, f"{proxy.url}/identity/v3"), encoding="utf-8")
    monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", str(clouds))
    listing = ProjectListing(openstack_lab)
    trial = Trial(Journey(cloud_site("lab-other"), listing, tmp_path), proxy)
    yield trial
    proxy.inject(lambda _: None)
    trial.journey.reach("nothing")
    assert listing.lines() == []


def only(wanted: Call, kind: str) -> Callable[[Call], str | None]:
    return lambda call: kind if call == wanted else None


class Everywhere:
    """A fault at the first call of each method and path, of a kind that depends on its number and ``seed``."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._seen: dict[tuple[str, str], str] = {}

    def __call__(self, call: Call) -> str | None:
        if call.kind in self._seen:
            return None
        return self._seen.setdefault(call.kind, KINDS[(len(self._seen) + self._seed) % len(KINDS)])


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.torture) for seed in range(1, len(KINDS)))])
def test_verbs_converge_with_a_fault_at_each_of_their_calls(trial: Trial, seed: int) -> None:
    everywhere = Everywhere(seed)
    for verb in trial.journey.verbs():
        trial.proxy.inject(lambda _: None)
        trial.journey.begin(verb)
        trial.proxy.inject(everywhere)
        errors = []
        while (error := trial.attempt(verb)) is not None:
            errors.append(str(error))
            assert len(errors) <= len(trial.proxy.faults), errors
        trial.check(verb, (verb.name, trial.proxy.faults, errors))


@pytest.mark.timeout(120)
def test_an_identity_service_that_hides_its_versions_is_no_hang(trial: Trial) -> None:
    """Keystoneauth would wait for its own lock."""
    verb = trial.verb("identity")
    trial.proxy.inject(only(Call("GET", "/identity/v3", 0), "401"))
    assert trial.attempt(verb) is None
    trial.proxy.inject(lambda call: "401" if call.kind == ("GET", "/identity/v3") else None)
    assert "does not list its versions" in str(trial.attempt(verb))


def test_a_server_has_its_port_after_two_requests_at_once_and_after_its_loss(trial: Trial) -> None:
    """Nova accepts both requests, and the server that fails takes the port from the other."""
    boot, again = trial.verb("boot"), trial.verb("boot again")
    trial.journey.begin(boot)
    trial.proxy.inject(only(Call("POST", "/compute/v2.1/servers", 0), "double"))
    assert trial.attempt(boot) is None
    trial.check(boot, trial.proxy.calls)
    trial.journey.listing.detach("10.60.0.4")
    assert trial.attempt(again) is None
    trial.check(again, trial.proxy.calls)


def test_a_server_that_did_not_start_is_started_again(trial: Trial) -> None:
    """Nova's hosts can fail to start a server that Nova has promised to start, such as for a port that another one took."""
    start = trial.verb("start with disks")
    trial.journey.begin(start)
    trial.proxy.inject(only(Call("POST", "/compute/v2.1/servers/ID/action", 0), UNDONE))
    assert trial.attempt(start) is None
    trial.check(start, trial.proxy.calls)


@pytest.mark.torture
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", VERBS)
def test_a_verb_survives_a_fault_at_any_call(trial: Trial, name: str, kind: str) -> None:
    for call in dict.fromkeys(trial.calls(trial.verb(name))):
        trial.proxy.inject(lambda _: None)
        trial.journey.begin(trial.verb(name))
        verb = trial.verb(name)
        trial.proxy.inject(only(call, kind))
        error = trial.attempt(verb)
        trial.proxy.inject(lambda _: None)
        if error is not None:
            again = trial.attempt(verb)
            assert again is None, (call, kind, str(error), str(again))
        trial.check(verb, (call, kind, str(error)))
