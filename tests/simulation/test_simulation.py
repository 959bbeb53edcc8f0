"""Ten thousand scenarios, in parts that can run in parallel, and checks that violated invariants are detected."""

import pytest

from tests.simulation.__main__ import failing, shares
from tests.simulation.scenario import InvariantError, Scenario

SEEDS = 10_000
SHARE = 100


@pytest.mark.parametrize("seeds", shares(range(SEEDS), SHARE), ids=lambda seeds: f"{seeds.start}-{seeds.stop}")
def test_under_any_faults_nothing_is_lost_and_the_state_converges(seeds: range) -> None:
    found = failing(seeds)
    assert not found, "; ".join(
        f"{error} (reproduce with: python -m tests.simulation --seed {seed})" for seed, error in found.items()
    )


def test_a_seed_reproduces_its_scenario() -> None:
    assert [str(_result(seed)) for seed in range(20)] == [str(_result(seed)) for seed in range(20)]


def _result(seed: int) -> list[object]:
    scenario = Scenario(seed)
    scenario.run()
    return [
        scenario.clock.now(),
        *((record.address, record.generation) for stack in scenario.stacks for record in stack.store.state().records),
        *((obj.address, obj.made) for stack in scenario.stacks for obj in scenario._objects(stack.lineage)),
    ]


@pytest.mark.parametrize(
    ("overrides", "seeds"),
    [
        ({"identity_kind": "ident"}, range(100)),  # repeats calls that must not be repeated
        ({"window_s": 0.0}, range(300, 1100)),  # does not wait for late effects
    ],
)
def test_a_provider_with_wrong_properties_is_detected(overrides: dict[str, object], seeds: range) -> None:
    found = []
    for seed in seeds:
        scenario = Scenario(seed)
        for provider in scenario.providers.values():
            provider.overrides = overrides
        try:
            scenario.run()
        except InvariantError:
            found.append(seed)
            break
    assert found
