"""Every fault of a network and a server, at every single request of a run."""

from itertools import count

import pytest

from tests.state.backends.faulty_proxy import FaultyProxy
from tests.state.backends.kinds import running
from tests.state.backends.runs import STEPS, after, found, whole_run

SINGLE = [
    ("lost", 0),
    ("lost-response", 0),
    ("duplicate", 0),
    ("truncate", 0),
    ("say", 429),
    ("say", 500),
    ("say", 503),
    ("say-after", 500),
    ("say-after", 502),
]
_numbers = count(1)


_HTTP = ("http-gitlab", "http-plain", "http-careless")
_ALIKE = ("http-plain", "http-careless", "s3")
_TELLING = ("lost-response", "duplicate")


def _cases(*cases):
    """Return each case as a parameter; those that repeat the code of another, or take a second, run in `make torture` only."""
    slow = [case for case in cases if case[0] in _ALIKE and case[1] not in _TELLING]
    return [pytest.param(*case, marks=pytest.mark.torture) if case in slow else case for case in cases]


ONCE = _cases(*((kind, *fault) for kind in _HTTP for fault in SINGLE), *(("s3", *fault) for fault in SINGLE[:5]))
FOR_EVER = _cases(*((kind, fault) for kind in _HTTP for fault in ("lost", "lost-response", "say")), ("s3", "lost-response"))


@pytest.fixture(scope="module")
def kind(request, tmp_path_factory):
    with running(request.param, tmp_path_factory.mktemp(request.param)) as one:
        yield one


def _name():
    return f"s{next(_numbers)}"


def _requests_of_a_run(kind):
    with FaultyProxy(kind.port) as proxy:
        run = whole_run(kind.backend(_name(), proxy.port))
        assert (run.done, run.error) == (len(STEPS), None)
        return len(proxy.seen)


@pytest.mark.parametrize(("kind", "fault", "status"), ONCE, indirect=["kind"])
def test_a_single_fault_at_any_request_has_no_effect(kind, fault, status):
    for index in range(_requests_of_a_run(kind)):
        name, seen = _name(), count()
        with FaultyProxy(kind.port) as proxy:
            met = proxy.on(fault, lambda *_, index=index, seen=seen: next(seen) == index, status=status)
            run = whole_run(kind.backend(name, proxy.port))
            assert met.met == 1
            assert run.error is None, (index, proxy.seen[index], run.error)
        assert found(kind.backend(name).read()) == after(len(STEPS))
        assert kind.backend(name).holder() is None, (index, proxy.seen[index])


@pytest.mark.parametrize(("kind", "fault"), FOR_EVER, indirect=["kind"])
def test_a_permanent_fault_stops_the_run_and_loses_nothing(kind, fault):
    for index in range(_requests_of_a_run(kind)):
        name, seen = _name(), count()
        with FaultyProxy(kind.port) as proxy:
            proxy.on(fault, lambda *_, index=index, seen=seen: next(seen) >= index, times=10**6, status=503)
            run = whole_run(kind.backend(name, proxy.port))
        stands = found(kind.backend(name).read())
        assert stands in [after(steps) for steps in range(run.done, run.begun + 1)], (index, run)
        assert run.done == len(STEPS) or run.error is not None
        left = kind.backend(name).holder()
        if left is not None:
            assert left.id == "one"
            kind.backend(name).break_lock("one")
        assert whole_run(kind.backend(name), "two").error is None
