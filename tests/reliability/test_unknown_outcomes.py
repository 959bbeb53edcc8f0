"""Answers that do not come, come late, or say no: what a run concludes from them is nothing."""

import pytest
from msgspec.structs import replace

from pragmaspec.errors import ApplyIncompleteError, SiteCapacityError, SiteError, SiteUnreachableError
from tests.engine.fake_provider import bring_up
from tests.engine.harness import LATE_SITE, Harness, remaining_actions
from tests.state.samples import ALLOCATION, act, node

FRONTEND = node(-1)
KINDS = pytest.mark.parametrize("kind", ["ident", "token", "tag"])


def lab_of(tmp_path, kind):
    return Harness(tmp_path, replace(LATE_SITE, identity=kind))


def failing(error, *, after=None):
    def call(*arguments):
        if after is not None:
            after(*arguments)
        raise error

    return call


@KINDS
@pytest.mark.parametrize("refusal", [SiteError("403 Forbidden"), SiteCapacityError("quota exceeded")], ids=["403", "quota"])
def test_a_refusal_of_a_repeated_creation_does_not_forget_the_first_one(tmp_path, lab, kind, refusal):
    """The first request is on its way when the second is refused, and lands after that: one machine, bound."""
    lab = lab_of(tmp_path, kind)
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
def test_a_removal_that_times_out_is_gone_only_when_the_site_says_so(tmp_path, lab, kind):
    lab = lab_of(tmp_path, kind)
    lab.apply(*bring_up(0))
    clean = lab.provider.clean
    lab.provider.clean = failing(SiteUnreachableError("timeout"))
    with pytest.raises(ApplyIncompleteError, match="timeout"):
        lab.apply(act("clean", FRONTEND))
    assert lab.record(FRONTEND) is not None
    assert len(lab.machines()) == 1
    lab.provider.clean = failing(SiteUnreachableError("the answer was lost"), after=clean)
    with pytest.raises(ApplyIncompleteError, match="the answer was lost"):
        lab.apply(act("clean", FRONTEND))
    assert lab.record(FRONTEND) is not None, "that it is gone was not said"
    lab.provider.clean = clean
    lab.apply(act("clean", FRONTEND))
    assert lab.record(FRONTEND) is None
    assert lab.machines() == ()


@KINDS
def test_a_removal_whose_answer_is_lost_once_is_finished_by_the_same_run(tmp_path, lab, kind):
    lab = lab_of(tmp_path, kind)
    lab.apply(*bring_up(0))
    clean, calls = lab.provider.clean, []

    def lose_the_first(resource, mark):
        clean(resource, mark)
        calls.append(resource)
        if len(calls) == 1:
            raise SiteUnreachableError("the answer was lost")

    lab.provider.clean = lose_the_first
    lab.apply(act("clean", FRONTEND))
    assert lab.record(FRONTEND) is None
    assert len(calls) == 2


@KINDS
def test_a_machine_that_was_known_and_is_gone_is_made_anew_once(tmp_path, lab, kind):
    """The clean of an earlier run took effect late; the answer of the boot that makes the node anew is lost."""
    lab = lab_of(tmp_path, kind)
    lab.apply(*bring_up(0))
    known = lab.record(FRONTEND)
    lab.provider.clean(FRONTEND, known.mark(lab.store.read().lineage))
    boot, answers = lab.provider.boot, []

    def lose_the_first(order):
        answers.append(boot(order))
        if len(answers) == 1:
            raise SiteUnreachableError("the answer was lost")
        return answers[-1]

    lab.provider.boot = lose_the_first
    lab.apply(act("boot", FRONTEND))
    first, second = answers
    assert first == second, "made once"
    (machine,) = lab.machines()
    assert (lab.record(FRONTEND).status, lab.record(FRONTEND).op) == ("ready", machine.op)


def test_a_spec_that_changed_meanwhile_finds_what_the_old_one_began(tmp_path, lab):
    """Begun with 1 cpu, wanted with 9: there is one machine before and after, and it has what is wanted now."""
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
    """A clock whose time of day jumps whenever it is asked; its time since the start of the machine goes on."""

    def __init__(self, clock, *jumps):
        self._clock, self._jumps, self._asked = clock, jumps, 0

    def now(self):
        self._asked += 1
        return self._clock.now() + self._jumps[self._asked % len(self._jumps)]

    def __getattr__(self, name):
        return getattr(self._clock, name)


@pytest.mark.parametrize("jumps", [(3600.0,), (-3600.0,), (0.0, -3600.0, 7200.0)], ids=["ahead", "behind", "jumping"])
def test_a_wrong_time_of_day_makes_no_wait_shorter_and_orders_nothing(lab, jumps):
    """Ours or the site's: what may yet come is waited for, for as long as it may take, and found."""
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


def test_what_a_listing_does_not_show_is_not_concluded_to_be_gone(lab):
    """The site's listing fails in the middle of it, at the plan's time or later: nothing is recorded as gone."""
    lab.apply(*bring_up(1))
    before = lab.store.read()
    lab.provider.observe = failing(SiteError("page 2 of 3: 403 Forbidden"))
    with pytest.raises(ApplyIncompleteError, match="page 2 of 3"):
        lab.apply(act("boot", FRONTEND))
    after = lab.store.read()
    assert {record.address for record in after.records} == {record.address for record in before.records}
    assert {record.status for record in after.records} == {"ready"}
