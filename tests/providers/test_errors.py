"""The table that translates a library's errors."""

import errno
import socket

import pytest

from pragmaspec.errors import SiteCapacityError, SiteError, SiteUnreachableError
from pragmaspec.providers.errors import ErrorRow, ErrorTable

TABLE = ErrorTable(
    "The socket",
    (
        ErrorRow(
            OSError, SiteCapacityError, "The site is full", "Remove something.", when=lambda error: error.errno == errno.ENOSPC
        ),
        ErrorRow(socket.gaierror, SiteUnreachableError, "The site has no address", "Check its name."),
    ),
)


def translated(error: Exception) -> SiteError:
    with pytest.raises(SiteError) as caught, TABLE.translated("list the site"):
        raise error
    assert caught.value.__cause__ is error
    return caught.value


def test_the_first_row_that_fits_is_used() -> None:
    full = translated(OSError(errno.ENOSPC, "No space\n left."))
    assert isinstance(full, SiteCapacityError)
    assert full.problems[0].summary == "The site is full"
    assert full.problems[0].detail == "Could not list the site. The socket reports: [Errno 28] No space left. Remove something."
    assert isinstance(translated(socket.gaierror("unknown")), SiteUnreachableError)


def test_an_error_without_a_message_is_named() -> None:
    assert "reports: gaierror. Check its name." in translated(socket.gaierror()).problems[0].detail


def test_errors_without_a_row_pass() -> None:
    for error in (OSError(errno.EIO, "broken"), KeyError("bug")):
        with pytest.raises(type(error)), TABLE.translated("list the site"):
            raise error


def test_exceptions_that_no_row_covers_are_listed() -> None:
    assert TABLE.uncovered(socket) == ("error", "herror", "timeout")
