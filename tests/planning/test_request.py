"""What part of a spec a plan is asked for."""

from pragmaspec.planning.request import PlanRequest


def test_a_request_overrides_whether_a_cluster_runs() -> None:
    request = PlanRequest(running=(("hello", False),))
    assert not request.wants_running("hello", otherwise=True)
    assert request.wants_running("world", otherwise=True)


def test_only_named_clusters_are_concerned_or_all() -> None:
    assert PlanRequest().concerns("hello")
    assert PlanRequest(only_clusters=("hello",)).concerns("hello")
    assert not PlanRequest(only_clusters=("hello",)).concerns("world")
