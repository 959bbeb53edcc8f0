"""Ten thousand stories, in shares that tests running in parallel can take; and that the laws have teeth."""

import pytest

from tests.simulation.__main__ import failing, shares
from tests.simulation.story import BrokenLawError, Story

SEEDS = 10_000
SHARE = 100


@pytest.mark.parametrize("seeds", shares(range(SEEDS), SHARE), ids=lambda seeds: f"{seeds.start}-{seeds.stop}")
def test_whatever_goes_wrong_nothing_is_lost_and_everything_converges(seeds: range) -> None:
    found = failing(seeds)
    assert not found, "; ".join(f"{what} (again with: python -m tests.simulation --seed {seed})" for seed, what in found.items())


def test_a_seed_tells_the_same_story_again() -> None:
    assert [str(_told(seed)) for seed in range(20)] == [str(_told(seed)) for seed in range(20)]


def _told(seed: int) -> list[object]:
    story = Story(seed)
    story.run()
    return [
        story.clock.now(),
        *((record.address, record.generation) for stack in story.stacks for record in stack.store.state().records),
        *((thing.address, thing.made) for stack in story.stacks for thing in story._things(stack.lineage)),
    ]


@pytest.mark.parametrize(
    ("lie", "seeds"),
    [
        ({"identity_kind": "ident"}, range(100)),  # repeats what must not be repeated
        ({"window_s": 0.0}, range(1100, 2400)),  # does not wait for what may yet come
    ],
)
def test_a_provider_that_says_what_is_not_so_is_found_out(lie: dict[str, object], seeds: range) -> None:
    found = []
    for seed in seeds:
        story = Story(seed)
        for provider in story.providers.values():
            provider.lies = lie
        try:
            story.run()
        except BrokenLawError:
            found.append(seed)
            break
    assert found
