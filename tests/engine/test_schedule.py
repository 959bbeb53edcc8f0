from graphlib import CycleError

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from pragmaspec.engine.schedule import Schedule
from tests.state.samples import ALLOCATION, IMAGE, NO_DEADLINE, act, node

STAGE, ALLOCATE = act("stage", IMAGE), act("allocate", ALLOCATION)
BOOT = act("boot", node(0), STAGE, ALLOCATE)
UPDATE = act("update", node(1), BOOT)


def test_an_action_is_ready_after_its_dependencies_are_done():
    schedule = Schedule([STAGE, ALLOCATE, BOOT, UPDATE])
    assert schedule.ready() == (STAGE, ALLOCATE)
    assert schedule.ready() == ()
    schedule.done(STAGE)
    assert schedule.ready() == ()
    schedule.done(ALLOCATE)
    assert schedule.ready() == (BOOT,)


def test_a_dependency_outside_the_plan_is_ignored():
    assert Schedule([BOOT]).ready() == (BOOT,)


def test_a_failure_skips_only_its_dependents():
    other = act("boot", node(5))
    schedule = Schedule([STAGE, ALLOCATE, BOOT, UPDATE, other])
    assert schedule.ready() == (STAGE, ALLOCATE, other)
    assert schedule.skip_after(STAGE) == (BOOT, UPDATE)
    schedule.done(STAGE)
    assert schedule.skip_after(ALLOCATE) == ()
    schedule.done(ALLOCATE)
    assert schedule.ready() == ()


def test_stopping_skips_actions_not_yet_started():
    schedule = Schedule([STAGE, ALLOCATE, BOOT, UPDATE])
    schedule.ready()
    assert schedule.skip_rest({STAGE.key}) == (ALLOCATE, BOOT, UPDATE)
    assert schedule.skip_rest({STAGE.key}) == ()


def test_a_dependency_cycle_is_an_error():
    with pytest.raises(CycleError):
        Schedule([replace(STAGE, after=(BOOT.key,)), BOOT])


@NO_DEADLINE
@given(st.lists(st.tuples(st.sets(st.integers(0, 19), max_size=3), st.booleans()), max_size=20))
def test_every_action_runs_once_or_is_skipped_after_a_failure(shape):
    actions = []
    for index, (needs, _) in enumerate(shape):
        actions.append(act("boot", node(index), *(actions[need] for need in sorted(needs) if need < index)))
    fails = {action.key for action, (_, failing) in zip(actions, shape, strict=True) if failing}
    schedule, ran, skipped = Schedule(actions), [], set()
    while ready := schedule.ready():
        for action in ready:
            assert set(action.after) <= {done for done in ran if done not in fails}
            ran.append(action.key)
            if action.key in fails:
                skipped |= {other.key for other in schedule.skip_after(action)}
            schedule.done(action)
    assert len(ran) == len(set(ran))
    assert set(ran) | skipped == {action.key for action in actions}
    assert not set(ran) & skipped
