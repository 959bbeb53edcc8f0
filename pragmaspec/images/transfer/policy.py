"""Retry policy and limits of image transfers."""

from pragmaspec.net.retry import RetryPolicy


class TransferPolicy(RetryPolicy, frozen=True):
    """Retry policy with limits on speed and size.

    ``tries`` counts consecutive attempts that transferred nothing. An attempt counts as failed when fewer than
    ``min_bytes_per_s`` arrive over ``slow_for_s`` seconds. ``max_bytes`` limits files whose server does not announce a length.
    """

    first_pause_s: float = 0.5
    connect_timeout_s: float = 15.0
    min_bytes_per_s: int = 1024
    slow_for_s: float = 60.0
    max_bytes: int = 2**40
