"""Facts about a file from the headers and first bytes of the response that carries it."""

import re
from datetime import UTC
from email.utils import parsedate_to_datetime

import requests

_NUMBER = re.compile(r"[0-9]{1,19}")
_RANGE = re.compile(r"bytes[ =]([0-9]{1,19})-([0-9]{1,19})/([0-9]{1,19}|\*)", re.IGNORECASE)


def content_range(response: requests.Response) -> tuple[int, int, int | None] | None:
    """The first and last byte of ``Content-Range`` and the length of the whole, where it is told; None when it is no range."""
    found = _RANGE.fullmatch(response.headers.get("Content-Range", "").strip())
    return (int(found[1]), int(found[2]), None if found[3] == "*" else int(found[3])) if found else None


def content_length(response: requests.Response) -> int | None:
    """The length in the headers, when it is one and counts (RFC 9112, section 6.3)."""
    if response.headers.get("Transfer-Encoding", "").strip():
        return None
    lengths = {length.strip() for length in response.headers.get("Content-Length", "").split(",")}
    return int(lengths.pop()) if len(lengths) == 1 and all(_NUMBER.fullmatch(length) for length in lengths) else None


def unsupported_transfer_coding(response: requests.Response) -> str:
    """A ``Transfer-Encoding`` that is not undone here, fit to print; empty when there is none (RFC 9112, section 6.1)."""
    told = response.headers.get("Transfer-Encoding", "").strip()
    if told.lower() == "identity" or all(coding.strip().lower() == "chunked" for coding in told.split(",") if told):
        return ""
    return "".join(letter for letter in told if letter.isprintable())[:40]


def is_web_page(start: bytes) -> bool:
    """True if a file that begins with ``start`` is an HTML page."""
    return start[:512].lstrip(b"\xef\xbb\xbf \t\r\n").lower().startswith((b"<!doctype html", b"<html", b"<head"))


def is_complete_at(response: requests.Response, have: int) -> bool:
    """True if the response says that the file has ``have`` bytes, so that no more follow (RFC 9110, 15.5.17)."""
    unsatisfiable = response.status_code == requests.codes.requested_range_not_satisfiable
    return unsatisfiable and response.headers.get("Content-Range") == f"bytes */{have}"


def strong_etag(response: requests.Response) -> str:
    """The ETag, unless it is a weak one."""
    tag = response.headers.get("ETag", "")
    return tag if tag.startswith('"') else ""


def last_modified(response: requests.Response) -> str:
    """When the server says the file was made, as RFC 3339 in UTC; empty when it does not."""
    try:
        return parsedate_to_datetime(response.headers.get("Last-Modified", "")).astimezone(UTC).isoformat(timespec="seconds")
    except (ValueError, OverflowError):
        return ""
