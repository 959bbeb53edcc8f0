"""Image sharing between sites: its decisions, and whole applies with injected failures."""

import os
import signal
import threading
import time
from collections import Counter
from contextlib import contextmanager
from dataclasses import replace as with_parts

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from pragmaspec.engine import image_sharing
from pragmaspec.engine.apply import apply_plan
from pragmaspec.engine.image_sharing import ImageDistribution, ImageSharing, SharingStep
from pragmaspec.engine.reporter import Reporter
from pragmaspec.errors import ApplyIncompleteError, InterruptedRunError, SiteError
from pragmaspec.planning.observed import Observations
from pragmaspec.planning.plan import PlannedSite
from pragmaspec.providers.base import Abilities, Offer
from pragmaspec.site import LibvirtSite
from pragmaspec.state_model import Record, State
from tests.engine.fake_provider import WANTED, FakeProvider, applying, plan_for
from tests.state.local_store import LocalStore
from tests.state.samples import DIGEST, IMAGE, LINEAGE, act

LIMIT_S = 20
NAMES = ("a", "b", "c", "d")


def image_of(site: str, digest: str = DIGEST):
    return replace(IMAGE, site=site, digest=digest)


class SharingProvider(FakeProvider):
    """Uploads, offers and fetches images. ``refuses`` names the operations that fail; ``trace`` is shared by all sites."""

    def __init__(self, name, trace, refuses=(), before=None):
        super().__init__(before)
        self.name, self.trace, self.refuses = name, trace, set(refuses)
        self.offers = 0

    def observe(self, lineage, recorded=None):
        return Observations(site=self.name, identity=self.identity(), nodes=())

    @property
    def abilities(self):
        return Abilities(guest_simulation=self, peer_images=self)

    def stage(self, request):
        self.trace.append(f"{self.name}: upload")
        return super().stage(request)

    @contextmanager
    def offer(self, image, incoming=None):
        assert image.site == self.name
        assert incoming is None or incoming.address == image.address
        self.offers += 1
        assert self.offers == 1, "one offer at a time"
        try:
            if "offer" in self.refuses:
                self.trace.append(f"{self.name}: no offer")
                raise SiteError("no python3")
            yield Offer(address=self.name, port=1, certificate="", paths=())
        finally:
            self.offers -= 1

    def stage_from_peer(self, request, offer):
        self.trace.append(f"{offer.address} to {self.name}")
        if "fetch" in self.refuses:
            raise SiteError("other bytes")
        return super().stage(request)


def sites_of(*refusals, trace=None, parallel=4, neighbourhood="campus", before=None):
    """Providers and plan entries of four sites, the first of them with the given refusals."""
    trace = [] if trace is None else trace
    refused = dict(zip(NAMES, refusals, strict=False))
    providers = {name: SharingProvider(name, trace, refused.get(name, ()), before) for name in NAMES}
    planned = tuple(
        PlannedSite(
            site=LibvirtSite(name=name, uri=f"qemu+ssh://root@{name}/system", neighbourhood=neighbourhood, parallel=parallel)
        )
        for name in NAMES
    )
    return providers, planned, trace


@contextmanager
def sharing_context(directory, providers, planned, actions, **limits):
    """The arguments of :func:`apply_plan`."""
    with applying(LocalStore(directory / "state"), providers["a"], directory, **limits) as context:
        wanted = replace(WANTED, sites=tuple(each.site for each in planned))
        yield plan_for(context.session.state, *actions, sites=planned), with_parts(context, providers=providers, wanted=wanted)


def staged_everywhere(directory, providers, planned, digests=(DIGEST,), reporter=None):
    actions = [act("stage", image_of(name, digest)) for name in NAMES for digest in digests]
    with sharing_context(directory, providers, planned, actions) as (plan, context):
        wanted = with_parts(context, files=lambda image: None)
        return apply_plan(plan, with_parts(wanted, wanted=_with_images(context.wanted, digests)), reporter)


def _with_images(wanted, digests):
    return replace(wanted, images=tuple(replace(wanted.images[0], name=f"i{at}", digest=each) for at, each in enumerate(digests)))


def test_one_site_uploads_and_the_others_fetch_in_a_chain():
    distribution = ImageDistribution()
    assert distribution.next_step("a") == SharingStep("upload")
    distribution = distribution.begin("a", ())
    assert [distribution.next_step(name) for name in "bcd"] == [SharingStep("wait", ("a",))] * 3
    distribution = distribution.end("a", (), "received")
    assert distribution.next_step("b") == SharingStep("fetch", ("a",))
    distribution = distribution.begin("b", ("a",))
    assert distribution.next_step("c") == SharingStep("fetch", ("b",), incomplete=True)
    distribution = distribution.begin("c", ("b",))
    assert distribution.next_step("d") == SharingStep("fetch", ("c",), incomplete=True)
    distribution = distribution.end("b", ("a",), "received")
    assert distribution.next_step("d") == SharingStep("fetch", ("a",)), "a verified source is preferred"


def test_a_failed_upload_lets_another_site_upload():
    distribution = ImageDistribution().begin("a", ()).end("a", (), "failed")
    assert distribution == ImageDistribution()
    assert distribution.next_step("b") == distribution.next_step("a") == SharingStep("upload")


def test_a_site_that_cannot_offer_is_not_used_as_a_source_again():
    distribution = ImageDistribution(holding=frozenset("ab")).begin("c", ("a",)).end("c", ("a",), "not-offered")
    assert distribution.next_step("c") == SharingStep("fetch", ("b",))
    assert distribution.end("c", ("b",), "not-offered").next_step("c") == SharingStep("upload")


def test_sites_upload_without_waiting_when_no_peer_can_offer():
    distribution = ImageDistribution(holding=frozenset("a")).begin("b", ("a",)).end("b", ("a",), "not-offered").begin("b", ())
    assert distribution.next_step("c") == SharingStep("wait", ("b",)), "a failed offer is not a source"
    assert distribution.end("b", (), "received").begin("c", ("b",)).end("c", ("b",), "not-offered").begin("c", ()).next_step(
        "d"
    ) == SharingStep("upload")


def test_a_fetch_is_retried_from_another_peer_after_its_source_failed():
    distribution = ImageDistribution(holding=frozenset("a")).begin("b", ("a",)).begin("c", ("b",)).end("b", ("a",), "failed")
    assert distribution.end("c", ("b",), "failed").next_step("c") == SharingStep("fetch", ("a",))
    assert distribution.next_step("b") == SharingStep("upload")


def test_a_site_whose_fetch_failed_uploads():
    distribution = ImageDistribution(holding=frozenset("ab")).begin("c", ("a",)).end("c", ("a",), "failed")
    assert distribution.next_step("c") == SharingStep("upload")
    assert distribution.next_step("d") == SharingStep("fetch", ("a",))


def test_a_site_that_holds_the_image_does_not_wait():
    assert ImageDistribution(holding=frozenset("a"), serving=frozenset("a")).next_step("a") == SharingStep("upload")


@given(st.integers(1, 40), st.integers(0, 5))
def test_all_sites_receive_the_image_in_two_rounds_plus_one_per_unable_site(count, unable):
    """Sites behind one that cannot offer wait for the next round."""
    distribution, rounds, names = (
        ImageDistribution(unable=frozenset(f"{each:02}" for each in range(1, 1 + unable))),
        0,
        [f"{each:02}" for each in range(count)],
    )
    while len(distribution.holding) < count:
        rounds += 1
        under_way = []
        for name in names:
            if name not in distribution.holding and (step := distribution.next_step(name)).kind != "wait":
                distribution = distribution.begin(name, step.sources)
                under_way.append((name, step.sources))
        for name, sources in under_way:
            distribution = distribution.end(name, sources, "received")
    assert rounds <= (1 if count == 1 else 2 + min(unable, count - 2))


@given(st.integers(1, 12), st.lists(st.sampled_from(["received", "failed", "not-offered"]), max_size=60), st.randoms())
def test_image_sharing_never_deadlocks_under_failures(count, outcomes, random):
    """Runs until every site has received the image or failed its only upload, as in an apply."""
    distribution, open_sites, under_way = ImageDistribution(), {str(each) for each in range(count)}, {}
    while open_sites or under_way:
        steps = {name: distribution.next_step(name) for name in sorted(open_sites)}
        can_move = [name for name, step in steps.items() if step.kind != "wait"]
        assert can_move or under_way, "deadlock"
        if can_move and (not under_way or random.random() < 0.5):
            name = random.choice(can_move)
            open_sites.remove(name)
            under_way[name] = steps[name].sources
            distribution = distribution.begin(name, steps[name].sources)
        else:
            name = random.choice(sorted(under_way))
            sources = under_way.pop(name)
            outcome = outcomes.pop() if outcomes else "received"
            outcome = "failed" if outcome == "not-offered" and not sources else outcome
            distribution = distribution.end(name, sources, outcome)
            if sources and outcome != "received":
                open_sites.add(name)
        assert max(Counter(source for sources in under_way.values() for source in sources).values(), default=1) == 1
    assert distribution.uploading == distribution.fetching == distribution.serving == frozenset()


def test_an_apply_uploads_the_image_once_per_neighbourhood(tmp_path):
    providers, planned, trace = sites_of()
    assert len(staged_everywhere(tmp_path, providers, planned).done) == 4
    uploads = [line for line in trace if "upload" in line]
    assert len(uploads) == 1
    assert len(trace) == 4
    assert all(f"{name}/image/{DIGEST[:16]}" in providers[name].resources for name in NAMES)


def test_sites_without_a_neighbourhood_each_upload_the_image(tmp_path):
    providers, planned, trace = sites_of(neighbourhood=None)
    staged_everywhere(tmp_path, providers, planned)
    assert sorted(trace) == [f"{name}: upload" for name in NAMES]


def test_many_images_at_one_call_per_site_do_not_deadlock(tmp_path):
    """Each site runs one call at a time, and the sites start with different images."""
    providers, planned, trace = sites_of(parallel=1)
    digests = tuple(f"{each:02x}" * 32 for each in range(8))
    assert len(staged_everywhere(tmp_path, providers, planned, digests).done) == 32
    assert sum("upload" in line for line in trace) == 8


def test_a_peer_with_a_recorded_image_offers_it_at_once(store, tmp_path):
    providers, planned, trace = sites_of()
    with store.session("test") as session:
        session.intend([act("stage", image_of("c"))])
        session.outcome(act("stage", image_of("c")), Record(resource=image_of("c")))
        session.checkpoint()
    actions = [act("stage", image_of(name)) for name in "ab"]
    with sharing_context(tmp_path, providers, planned, actions) as (plan, context):
        apply_plan(plan, context)
    assert {"c to a", "c to b"} & set(trace)
    assert not any("upload" in line for line in trace)


def test_after_a_failed_upload_another_site_uploads_and_offers_the_image(tmp_path):
    failed = []

    def before(verb, address):
        """Fail the first upload, at any site."""
        if not failed:
            failed.append(address)
            raise SiteError("no room")

    providers, planned, trace = sites_of(before=before)
    with pytest.raises(ApplyIncompleteError, match="no room"):
        staged_everywhere(tmp_path, providers, planned)
    holders = {address for provider in providers.values() for address in provider.resources}
    assert holders == {image_of(name).address for name in NAMES} - set(failed)
    assert sum("upload" in line for line in trace) == 2


def test_a_site_that_cannot_offer_costs_one_attempt(tmp_path):
    providers, planned, trace = sites_of({"offer"}, {"offer"}, {"offer"}, {"offer"})
    assert len(staged_everywhere(tmp_path, providers, planned).done) == 4
    assert sorted(line for line in trace if "upload" in line) == [f"{name}: upload" for name in NAMES]
    assert max(Counter(line for line in trace if "no offer" in line).values()) == 1


def test_a_site_that_cannot_fetch_from_a_peer_uploads(tmp_path):
    class RecordingReporter(Reporter):
        def __init__(self):
            self.messages = []

        def progress(self, action, doing):
            self.messages.append(f"{action.resource.site}: {doing}")

    providers, planned, trace = sites_of((), {"fetch"}, {"fetch"}, {"fetch"})
    reporter = RecordingReporter()
    assert len(staged_everywhere(tmp_path, providers, planned, reporter=reporter).done) == 4
    assert sum("upload" in line for line in trace) >= 3
    assert any(line.endswith(": other bytes") for line in reporter.messages)


def test_an_interrupt_ends_the_wait_for_a_peer(store, tmp_path):
    """One upload hangs; the sites waiting for it end at once and stay pending."""
    hold, waiting = threading.Event(), threading.Semaphore(0)
    interrupted = []

    class RecordingReporter(Reporter):
        def progress(self, action, doing):
            if doing.startswith("waiting for"):
                waiting.release()

    def before(verb, address):
        if not interrupted:
            interrupted.append(address)
            for _ in range(3):
                assert waiting.acquire(timeout=LIMIT_S)
            os.kill(os.getpid(), signal.SIGINT)
            hold.wait(LIMIT_S)

    providers, planned, trace = sites_of(before=before)
    actions = [act("stage", image_of(name)) for name in NAMES]
    began = time.monotonic()
    with (
        sharing_context(tmp_path, providers, planned, actions, interrupt_limit_s=0.5) as (plan, context),
        pytest.raises(InterruptedRunError),
    ):
        apply_plan(plan, context, RecordingReporter())
    assert time.monotonic() - began < LIMIT_S
    hold.set()
    assert [line for line in trace if "to" in line.split()] == []
    assert {record.status for record in store.read().records} == {"pending"}


def test_a_site_uploads_after_the_peer_wait_limit(monkeypatch):
    monkeypatch.setattr(image_sharing, "PEER_WAIT_LIMIT_S", 0.05)
    providers, planned, _ = sites_of()
    state = State(lineage=LINEAGE)
    sharing = ImageSharing(plan_for(state, sites=planned), state, providers)
    began, hold, outcome, messages = threading.Event(), threading.Event(), [], []

    def slow():
        began.set()
        assert hold.wait(LIMIT_S)
        return ()

    first = threading.Thread(target=lambda: sharing.stage(image_of("a"), slow, lambda offer: (), messages.append))
    first.start()
    assert began.wait(LIMIT_S)
    sharing.stage(image_of("b"), lambda: outcome.append("upload") or (), lambda offer: (), messages.append)
    hold.set()
    first.join(LIMIT_S)
    assert outcome == ["upload"]
    assert messages == ["waiting for the transfer to a"]
