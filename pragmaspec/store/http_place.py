"""Where and how a state is read, written and locked on an HTTP server: Terraform's protocol, in GitLab's or any other manner."""

import os
import re
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from pragmaspec.errors import Problem, UsageError
from pragmaspec.store.credentials import check_url, shown_url

_MANAGED = re.compile(r"/api/v4/projects/[^/]+/terraform/state/[^/]+|/api/packages/[^/]+/terraform/state/[^/]+")
_METHOD = re.compile(r"[A-Z]{1,20}")


class HttpPlace(NamedTuple):
    """The address of a state, and how its lock is taken and given back."""

    address: str
    update_method: str
    lock_address: str
    lock_method: str
    unlock_address: str
    unlock_method: str

    @property
    def title(self) -> str:
        """The address as it may be shown."""
        return shown_url(self.address)

    def write_address(self, lock_id: str) -> str:
        """Where to write while the lock ``lock_id`` is held: ``ID`` is added to what the query holds already."""
        parts = urlsplit(self.address)
        query = [pair for pair in parse_qsl(parts.query, keep_blank_values=True) if pair[0] != "ID"]
        return urlunsplit(parts._replace(query=urlencode([*query, ("ID", lock_id)])))


def http_place(url: str, environ: Mapping[str, str] = os.environ) -> HttpPlace:
    """The place that ``url`` names. Raises UsageError.

    GitLab (``…/terraform/state/NAME``) and Gitea lock at ``/lock`` with POST and DELETE. Any other server locks at the address
    itself with LOCK and UNLOCK. ``PRAGMASPEC_HTTP_LOCK_ADDRESS`` and its kin say otherwise; so do Terraform's ``TF_HTTP_*``, when
    ``TF_HTTP_ADDRESS`` is this address.
    """
    check_url(url)
    parts = urlsplit(url)
    try:
        _ = parts.port
    except ValueError:
        raise _wrong(url, "its port is not a number from 0 to 65535") from None
    if parts.scheme.lower() not in {"http", "https"} or not parts.hostname or parts.fragment:
        raise _wrong(url, "it must be http:// or https://, a host and a path, without #")
    path = parts.path.rstrip("/")
    managed = _MANAGED.search(path)
    if managed and managed.end() != len(path):
        raise _wrong(url, "the name of a GitLab or Gitea state cannot contain /")
    beside = urlunsplit(parts._replace(path=path + "/lock")) if managed else url

    def said(name: str, default: str) -> str:
        own = environ.get(f"PRAGMASPEC_HTTP_{name}", "")
        terraform = environ.get(f"TF_HTTP_{name}", "") if environ.get("TF_HTTP_ADDRESS", "") == url else ""
        return own or terraform or default

    lock = said("LOCK_ADDRESS", beside)
    place = HttpPlace(
        address=url,
        update_method=said("UPDATE_METHOD", "POST"),
        lock_address=lock,
        lock_method=said("LOCK_METHOD", "POST" if managed else "LOCK"),
        unlock_address=said("UNLOCK_ADDRESS", lock),
        unlock_method=said("UNLOCK_METHOD", "DELETE" if managed else "UNLOCK"),
    )
    for address in (place.lock_address, place.unlock_address):
        check_url(address)
    for method in (place.update_method, place.lock_method, place.unlock_method):
        if not _METHOD.fullmatch(method):
            raise UsageError(Problem(summary="Not an HTTP method", detail=f"`{method}` was set as one; they are capitals."))
    return place


def _wrong(url: str, why: str) -> UsageError:
    return UsageError(Problem(summary="The URL of the state is wrong", detail=f"{shown_url(url)}: {why}."))
