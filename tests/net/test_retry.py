from hypothesis import given
from hypothesis import strategies as st

from pragmaspec.net.retry import RetryPolicy


@given(st.integers(0, 50), st.floats(0, 1e6))
def test_pauses_double_up_to_the_limit_and_honour_retry_after(attempt: int, retry_after_s: float) -> None:
    policy = RetryPolicy()
    pause_s = policy.pause_s(attempt, retry_after_s)
    assert 0 < pause_s <= policy.max_pause_s
    assert pause_s >= min(retry_after_s, policy.max_pause_s)
    assert pause_s >= min(policy.max_pause_s, 2**attempt) / 2
