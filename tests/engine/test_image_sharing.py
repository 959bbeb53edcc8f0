"""Sites that hand an image to each other: who does what when, and whole applies at sites that can be made to fail."""

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

from pragmaspec.engine import image_sharing as neighbours
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


class PassingSite(FakeProvider):
    """Brings, hands out and takes images; ``refuses`` names what does not work. ``trace`` is everybody's, in order."""

    def __init__(self, name, trace, refuses=(), before=None):
        super().__init__(before)
        self.name, self.trace, self.refuses = name, trace, set(refuses)
        self.giving = 0

    def observe(self, lineage, recorded=None):
        return Observations(site=self.name, identity=self.identity(), nodes=())

    @property
    def abilities(self):
        return Abilities(guest_simulation=self, peer_images=self)

    def stage(self, request):
        self.trace.append(f"{self.name} is brought it")
        return super().stage(request)

    @contextmanager
    def offer(self, image, incoming=None):
        assert image.site == self.name
        assert incoming is None or incoming.address == image.address
        self.giving += 1
        assert self.giving == 1, "one at a time"
        try:
            if "offer" in self.refuses:
                self.trace.append(f"{self.name} cannot offer it")
                raise SiteError("no python3")
            yield Offer(address=self.name, port=1, certificate="", paths=())
        finally:
            self.giving -= 1

    def stage_from_peer(self, request, offer):
        self.trace.append(f"{offer.address} to {self.name}")
        if "take" in self.refuses:
            raise SiteError("other bytes")
        return super().stage(request)


def sites_of(*refusals, trace=None, parallel=4, word="campus", before=None):
    """Four sites, as many of them with refusals as are given; and what is planned of them."""
    trace = [] if trace is None else trace
    refused = dict(zip(NAMES, refusals, strict=False))
    providers = {name: PassingSite(name, trace, refused.get(name, ()), before) for name in NAMES}
    planned = tuple(
        PlannedSite(site=LibvirtSite(name=name, uri=f"qemu+ssh://root@{name}/system", neighbourhood=word, parallel=parallel))
        for name in NAMES
    )
    return providers, planned, trace


@contextmanager
def ready(directory, providers, planned, actions, **limits):
    """What :func:`apply_plan` needs."""
    with applying(LocalStore(directory / "state"), providers["a"], directory, **limits) as context:
        wanted = replace(WANTED, sites=tuple(each.site for each in planned))
        yield plan_for(context.session.state, *actions, sites=planned), with_parts(context, providers=providers, wanted=wanted)


def staged_everywhere(directory, providers, planned, digests=(DIGEST,), reporter=None):
    actions = [act("stage", image_of(name, digest)) for name in NAMES for digest in digests]
    with ready(directory, providers, planned, actions) as (plan, context):
        wanted = with_parts(context, files=lambda image: None)
        return apply_plan(plan, with_parts(wanted, wanted=_with_images(context.wanted, digests)), reporter)


def _with_images(wanted, digests):
    return replace(wanted, images=tuple(replace(wanted.images[0], name=f"i{at}", digest=each) for at, each in enumerate(digests)))


def test_one_is_brought_it_and_the_others_take_it_in_a_row():
    spread = ImageDistribution()
    assert spread.next_step("a") == SharingStep("upload")
    spread = spread.begin("a", ())
    assert [spread.next_step(name) for name in "bcd"] == [SharingStep("wait", ("a",))] * 3
    spread = spread.end("a", (), "received")
    assert spread.next_step("b") == SharingStep("fetch", ("a",))
    spread = spread.begin("b", ("a",))
    assert spread.next_step("c") == SharingStep("fetch", ("b",), incomplete=True)
    spread = spread.begin("c", ("b",))
    assert spread.next_step("d") == SharingStep("fetch", ("c",), incomplete=True)
    spread = spread.end("b", ("a",), "received")
    assert spread.next_step("d") == SharingStep("fetch", ("a",)), "rather from one whose bytes somebody has looked at"


def test_whoever_brings_it_and_fails_makes_way_for_the_next():
    spread = ImageDistribution().begin("a", ()).end("a", (), "failed")
    assert spread == ImageDistribution()
    assert spread.next_step("b") == spread.next_step("a") == SharingStep("upload")


def test_one_that_cannot_hand_it_out_is_asked_no_more():
    spread = ImageDistribution(holding=frozenset("ab")).begin("c", ("a",)).end("c", ("a",), "not-offered")
    assert spread.next_step("c") == SharingStep("fetch", ("b",))
    assert spread.end("c", ("b",), "not-offered").next_step("c") == SharingStep("upload")


def test_where_it_works_nowhere_nobody_waits_for_the_others():
    spread = ImageDistribution(holding=frozenset("a")).begin("b", ("a",)).end("b", ("a",), "not-offered").begin("b", ())
    assert spread.next_step("c") == SharingStep("wait", ("b",)), "one that cannot is none"
    assert spread.end("b", (), "received").begin("c", ("b",)).end("c", ("b",), "not-offered").begin("c", ()).next_step(
        "d"
    ) == SharingStep("upload")


def test_one_whose_source_failed_is_not_to_blame():
    spread = ImageDistribution(holding=frozenset("a")).begin("b", ("a",)).begin("c", ("b",)).end("b", ("a",), "failed")
    assert spread.end("c", ("b",), "failed").next_step("c") == SharingStep("fetch", ("a",))
    assert spread.next_step("b") == SharingStep("upload")


def test_one_that_could_not_take_it_is_brought_it():
    spread = ImageDistribution(holding=frozenset("ab")).begin("c", ("a",)).end("c", ("a",), "failed")
    assert spread.next_step("c") == SharingStep("upload")
    assert spread.next_step("d") == SharingStep("fetch", ("a",))


def test_one_that_has_it_already_is_not_kept_waiting():
    assert ImageDistribution(holding=frozenset("a"), serving=frozenset("a")).next_step("a") == SharingStep("upload")


@given(st.integers(1, 40), st.integers(0, 5))
def test_any_number_takes_one_transfer_from_outside_and_one_between_neighbours(count, deaf):
    """Where some hand nothing on, those behind them wait for the next round."""
    spread, rounds, names = (
        ImageDistribution(unable=frozenset(f"{each:02}" for each in range(1, 1 + deaf))),
        0,
        [f"{each:02}" for each in range(count)],
    )
    while len(spread.holding) < count:
        rounds += 1
        under_way = []
        for name in names:
            if name not in spread.holding and (move := spread.next_step(name)).kind != "wait":
                spread = spread.begin(name, move.sources)
                under_way.append((name, move.sources))
        for name, sources in under_way:
            spread = spread.end(name, sources, "received")
    assert rounds <= (1 if count == 1 else 2 + min(deaf, count - 2))


@given(st.integers(1, 12), st.lists(st.sampled_from(["received", "failed", "not-offered"]), max_size=60), st.randoms())
def test_whatever_fails_somebody_can_always_move(count, outcomes, dice):
    """Until every site has the image or was brought it in vain, as an apply leaves it at one attempt from outside."""
    spread, open_sites, under_way = ImageDistribution(), {str(each) for each in range(count)}, {}
    while open_sites or under_way:
        moves = {name: spread.next_step(name) for name in sorted(open_sites)}
        able = [name for name, move in moves.items() if move.kind != "wait"]
        assert able or under_way, "everybody waits for nobody"
        if able and (not under_way or dice.random() < 0.5):
            name = dice.choice(able)
            open_sites.remove(name)
            under_way[name] = moves[name].sources
            spread = spread.begin(name, moves[name].sources)
        else:
            name = dice.choice(sorted(under_way))
            sources = under_way.pop(name)
            came = outcomes.pop() if outcomes else "received"
            came = "failed" if came == "not-offered" and not sources else came
            spread = spread.end(name, sources, came)
            if sources and came != "received":
                open_sites.add(name)
        assert max(Counter(source for sources in under_way.values() for source in sources).values(), default=1) == 1
    assert spread.uploading == spread.fetching == spread.serving == frozenset()


def test_an_apply_brings_the_image_once(tmp_path):
    providers, planned, trace = sites_of()
    assert len(staged_everywhere(tmp_path, providers, planned).done) == 4
    brought = [line for line in trace if "brought" in line]
    assert len(brought) == 1
    assert len(trace) == 4
    assert all(f"{name}/image/{DIGEST[:16]}" in providers[name].there for name in NAMES)


def test_sites_of_no_neighbourhood_are_each_brought_it(tmp_path):
    providers, planned, trace = sites_of(word=None)
    staged_everywhere(tmp_path, providers, planned)
    assert sorted(trace) == [f"{name} is brought it" for name in NAMES]


def test_narrow_lanes_and_many_images_do_not_lock(tmp_path):
    """Each site does one call at a time, and they begin with different images."""
    providers, planned, trace = sites_of(parallel=1)
    digests = tuple(f"{each:02x}" * 32 for each in range(8))
    assert len(staged_everywhere(tmp_path, providers, planned, digests).done) == 32
    assert sum("brought" in line for line in trace) == 8


def test_a_neighbour_that_has_it_by_what_is_recorded_hands_it_out_at_once(tmp_path):
    providers, planned, trace = sites_of()
    store = LocalStore(tmp_path / "state")
    with store.session("test") as session:
        session.intend([act("stage", image_of("c"))])
        session.outcome(act("stage", image_of("c")), Record(resource=image_of("c")))
        session.checkpoint()
    actions = [act("stage", image_of(name)) for name in "ab"]
    with ready(tmp_path, providers, planned, actions) as (plan, context):
        apply_plan(plan, context)
    assert {"c to a", "c to b"} & set(trace)
    assert not any("brought" in line for line in trace)


def test_when_the_first_fails_the_next_is_brought_it_and_hands_it_on(tmp_path):
    failed = []

    def before(verb, address):
        """Whoever it is that comes first."""
        if not failed:
            failed.append(address)
            raise SiteError("no room")

    providers, planned, trace = sites_of(before=before)
    with pytest.raises(ApplyIncompleteError, match="no room"):
        staged_everywhere(tmp_path, providers, planned)
    there = {address for provider in providers.values() for address in provider.there}
    assert there == {image_of(name).address for name in NAMES} - set(failed)
    assert sum("brought" in line for line in trace) == 2


def test_a_site_that_cannot_hand_it_out_costs_one_attempt(tmp_path):
    providers, planned, trace = sites_of({"offer"}, {"offer"}, {"offer"}, {"offer"})
    assert len(staged_everywhere(tmp_path, providers, planned).done) == 4
    assert sorted(line for line in trace if "brought" in line) == [f"{name} is brought it" for name in NAMES]
    assert max(Counter(line for line in trace if "cannot" in line).values()) == 1


def test_a_site_that_cannot_take_it_is_brought_it(tmp_path):
    class Told(Reporter):
        def __init__(self):
            self.said = []

        def progress(self, action, doing):
            self.said.append(f"{action.resource.site}: {doing}")

    providers, planned, trace = sites_of((), {"take"}, {"take"}, {"take"})
    told = Told()
    assert len(staged_everywhere(tmp_path, providers, planned, reporter=told).done) == 4
    assert sum("brought" in line for line in trace) >= 3
    assert any(line.endswith(": other bytes") for line in told.said)


def test_an_interrupt_ends_the_waiting(tmp_path):
    """One is being brought the image for as long as it takes; the others end at once, and what they were to do is open."""
    hold, waiting = threading.Event(), threading.Semaphore(0)
    interrupted = []

    class Told(Reporter):
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
    begun = time.monotonic()
    with (
        ready(tmp_path, providers, planned, actions, interrupt_limit_s=0.5) as (plan, context),
        pytest.raises(InterruptedRunError),
    ):
        apply_plan(plan, context, Told())
    assert time.monotonic() - begun < LIMIT_S
    hold.set()
    assert [line for line in trace if "to" in line.split()] == []
    assert {record.status for record in LocalStore(tmp_path / "state").read().records} == {"pending"}


def test_who_waits_longer_than_the_limit_is_brought_it(monkeypatch):
    monkeypatch.setattr(neighbours, "PEER_WAIT_LIMIT_S", 0.05)
    providers, planned, _ = sites_of()
    state = State(lineage=LINEAGE)
    leads = ImageSharing(plan_for(state, sites=planned), state, providers)
    begun, hold, came, said = threading.Event(), threading.Event(), [], []

    def slow():
        begun.set()
        assert hold.wait(LIMIT_S)
        return ()

    first = threading.Thread(target=lambda: leads.stage(image_of("a"), slow, lambda offer: (), said.append))
    first.start()
    assert begun.wait(LIMIT_S)
    leads.stage(image_of("b"), lambda: came.append("brought") or (), lambda offer: (), said.append)
    hold.set()
    first.join(LIMIT_S)
    assert came == ["brought"]
    assert said == ["waiting for the transfer to a"]
