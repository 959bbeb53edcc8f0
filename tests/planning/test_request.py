"""Options of a plan."""

from pragmaspec.planning.request import PlanRequest


def test_request_overrides_the_power_of_the_spec() -> None:
    request = PlanRequest(running=(("hello", False),))
    assert not request.wants_running("hello", otherwise=True)
    assert request.wants_running("world", otherwise=True)


def test_scope_is_all_or_the_named_clusters() -> None:
    assert PlanRequest().concerns("hello")
    assert PlanRequest(only_clusters=("hello",)).concerns("hello")
    assert not PlanRequest(only_clusters=("hello",)).concerns("world")
