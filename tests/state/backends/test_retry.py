from hypothesis import given
from hypothesis import strategies as st

from pragmaspec.state.backends.retry import RetryPolicy


@given(st.integers(0, 50), st.floats(0, 1e6))
def test_pauses_grow_within_limits_and_give_the_server_the_time_it_asks_for(turn, asked_s):
    patience = RetryPolicy()
    pause_s = patience.pause_s(turn, asked_s)
    assert 0 < pause_s <= patience.most_s
    assert pause_s >= min(asked_s, patience.most_s)
    assert pause_s >= min(patience.most_s, 2**turn) / 2
