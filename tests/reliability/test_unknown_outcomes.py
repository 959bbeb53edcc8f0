"""Lost, late and negative responses: a run concludes nothing from them."""

import pytest
from msgspec.structs import replace

from pragmaspec.errors import ApplyIncompleteError, SiteCapacityError, SiteError, SiteUnreachableError
from tests.engine.fake_provider import bring_up
from tests.engine.harness import LATE_SITE, Harness, remaining_actions
from tests.state.samples import ALLOCATION, act, node

FRONTEND = node(-1)
KINDS = pytest.mark.parametrize("kind", ["ident", "token", "tag"])


def harness_for(tmp_path, kind):
    return Harness(tmp_path, replace(LATE_SITE, identity=kind))


def failing(error, *, after=None):
    def call(*arguments):
        if after is not None:
            after(*arguments)
        raise error

    return call


@KINDS
@pytest.mark.parametrize("refusal", [SiteError("403 Forbidden"), SiteCapacityError("quota exceeded")], ids=["403", "quota"])
def test_a_refused_repetition_of_a_creation_keeps_the_first_intent(tmp_path, lab, kind, refusal):
    """The first request takes effect after the second was refused; its machine is bound."""
    lab = harness_for(tmp_path, kind)
    lab.apply(*bring_up(0)[:2])
    boot, late = lab.provider.boot, []
    lab.provider.boot = lambda order: late.append(order) or failing(SiteUnreachableError("timeout"))()
    with pytest.raises(ApplyIncompleteError, match="timeout"):
        lab.apply(act("boot", FRONTEND))
    op = lab.record(FRONTEND).op
    lab.clock.sleep(400.0)
    lab.provider.boot = failing(refusal)
    with pytest.raises(ApplyIncompleteError, match=r"403 Forbidden|quota exceeded"):
        lab.apply(act("boot", FRONTEND))
    assert (lab.record(FRONTEND).status, lab.record(FRONTEND).op) == ("pending", op)
    lab.provider.boot = boot
    boot(late[0])
    lab.apply(act("boot", FRONTEND))
    (machine,) = lab.machines()
    assert (lab.record(FRONTEND).status, lab.record(FRONTEND).op) == ("ready", machine.op)


@KINDS
def test_a_timed_out_removal_is_recorded_only_after_confirmation(tmp_path, lab, kind):
    lab = harness_for(tmp_path, kind)
    lab.apply(*bring_up(0))
    clean = lab.provider.clean
    lab.provider.clean = failing(SiteUnreachableError("timeout"))
    with pytest.raises(ApplyIncompleteError, match="timeout"):
        lab.apply(act("clean", FRONTEND))
    assert lab.record(FRONTEND) is not None
    assert len(lab.machines()) == 1
    lab.provider.clean = failing(SiteUnreachableError("the response was lost"), after=clean)
    with pytest.raises(ApplyIncompleteError, match="the response was lost"):
        lab.apply(act("clean", FRONTEND))
    assert lab.record(FRONTEND) is not None, "the removal was not confirmed"
    lab.provider.clean = clean
    lab.apply(act("clean", FRONTEND))
    assert lab.record(FRONTEND) is None
    assert lab.machines() == ()


@KINDS
def test_a_removal_whose_response_is_lost_is_repeated_by_the_same_run(tmp_path, lab, kind):
    lab = harness_for(tmp_path, kind)
    lab.apply(*bring_up(0))
    clean, calls = lab.provider.clean, []

    def lose_the_first(resource, mark):
        clean(resource, mark)
        calls.append(resource)
        if len(calls) == 1:
            raise SiteUnreachableError("the response was lost")

    lab.provider.clean = lose_the_first
    lab.apply(act("clean", FRONTEND))
    assert lab.record(FRONTEND) is None
    assert len(calls) == 2


@KINDS
def test_a_missing_machine_is_recreated_once(tmp_path, lab, kind):
    """The clean of an earlier run took effect late, and the response to the boot that recreates the node is lost."""
    lab = harness_for(tmp_path, kind)
    lab.apply(*bring_up(0))
    known = lab.record(FRONTEND)
    lab.provider.clean(FRONTEND, known.mark(lab.store.read().lineage))
    boot, responses = lab.provider.boot, []

    def lose_the_first(order):
        responses.append(boot(order))
        if len(responses) == 1:
            raise SiteUnreachableError("the response was lost")
        return responses[-1]

    lab.provider.boot = lose_the_first
    lab.apply(act("boot", FRONTEND))
    first, second = responses
    assert first == second, "created once"
    (machine,) = lab.machines()
    assert (lab.record(FRONTEND).status, lab.record(FRONTEND).op) == ("ready", machine.op)


def test_a_changed_spec_updates_the_machine_of_an_unfinished_boot(tmp_path, lab):
    """The boot was started with 1 cpu, and the spec now has 9: there is one machine, with 9 cpus."""
    for number, kind in enumerate(("ident", "token", "tag")):
        here = Harness(tmp_path / str(number), replace(LATE_SITE, identity=kind))
        here.apply(*bring_up(0)[:2])
        boot = here.provider.boot
        here.provider.boot = failing(SiteUnreachableError("timeout"), after=boot)
        here.provider.blind, here.provider.listings = True, 0
        with pytest.raises(ApplyIncompleteError):
            here.apply(act("boot", FRONTEND))
        here.provider.boot, here.provider.blind = boot, False
        larger = replace(FRONTEND, cpus=9)
        here.apply(act("boot", larger))
        (machine,) = here.machines()
        assert (machine.cpus, here.record(larger).status) == (9, "ready"), kind


# clocks


class Skewed:
    """A clock whose wall-clock time jumps at every call; its monotonic time is correct."""

    def __init__(self, clock, *jumps):
        self._clock, self._jumps, self._calls = clock, jumps, 0

    def now(self):
        self._calls += 1
        return self._clock.now() + self._jumps[self._calls % len(self._jumps)]

    def __getattr__(self, name):
        return getattr(self._clock, name)


@pytest.mark.parametrize("jumps", [(3600.0,), (-3600.0,), (0.0, -3600.0, 7200.0)], ids=["ahead", "behind", "jumping"])
def test_a_wrong_wall_clock_does_not_shorten_waits(lab, jumps):
    """With a wrong clock, the run still waits the full window for a late boot, and finds its machine."""
    real = lab.clock
    actions = bring_up(0)
    lab.clock = Skewed(real, *jumps)
    lab.apply(*actions[:2])
    boot, began = lab.provider.boot, real.monotonic()

    def late(order):
        real.after(299.0, lambda: boot(order))
        raise SiteUnreachableError("gateway timeout")

    lab.provider.boot = late
    with pytest.raises(ApplyIncompleteError):
        lab.apply(*actions)
    lab.provider.boot = boot
    lab.apply(*remaining_actions(lab, actions))
    assert real.monotonic() - began >= 299.0
    assert [seen.id for seen in lab.machines()] == [lab.record(FRONTEND).site_id]
    sequence = [record.status for record in lab.store.read().records]
    assert sequence == ["ready"] * 3
    assert lab.record(ALLOCATION).status == "ready"


# listings


def test_a_failed_listing_records_nothing_as_gone(lab):
    """The listing of the site fails at a later page during an apply."""
    lab.apply(*bring_up(1))
    before = lab.store.read()
    lab.provider.observe = failing(SiteError("page 2 of 3: 403 Forbidden"))
    with pytest.raises(ApplyIncompleteError, match="page 2 of 3"):
        lab.apply(act("boot", FRONTEND))
    after = lab.store.read()
    assert {record.address for record in after.records} == {record.address for record in before.records}
    assert {record.status for record in after.records} == {"ready"}
