"""Declarations of how sites connect nodes."""

import pytest

from pragmaspec.networking import Networking


@pytest.mark.parametrize(("router", "offset"), [(False, 0), (False, 10), (True, 1)])
def test_an_address_of_the_frontend_that_is_another_ones_is_refused(router: bool, offset: int) -> None:
    with pytest.raises(ValueError, match="frontend_offset must be"):
        Networking(router=router, frontend_offset=offset)


def test_the_lowest_addresses_of_a_frontend() -> None:
    assert Networking().frontend_offset == 1
    assert Networking(router=True, frontend_offset=2).frontend_offset == 2
