"""Where and how a state is read, written and locked on an HTTP server: Terraform's protocol, in GitLab's or any other manner."""

import os
import re
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import parse_qsl, urlencode

from pragmaspec.credentials import check_state_url, url_error
from pragmaspec.errors import UsageError
from pragmaspec.net.state_urls import parse_http_state_url
from pragmaspec.net.urls import UrlError, parse_url, redact_url

_METHOD = re.compile(r"[A-Z]{1,20}")


class HttpConfig(NamedTuple):
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
        return redact_url(self.address)

    def write_address(self, lock_id: str) -> str:
        """Where to write while the lock ``lock_id`` is held: ``ID`` is added to what the query holds already."""
        address = parse_url(self.address)
        query = [pair for pair in parse_qsl(address.query, keep_blank_values=True) if pair[0] != "ID"]
        return address._replace(query=urlencode([*query, ("ID", lock_id)])).text


def http_config(url: str, environ: Mapping[str, str] = os.environ) -> HttpConfig:
    """The place that ``url`` names. Raises UsageError.

    GitLab (``…/terraform/state/NAME``) and Gitea lock at ``/lock`` with POST and DELETE. Any other server locks at the address
    itself with LOCK and UNLOCK. ``PRAGMASPEC_HTTP_LOCK_ADDRESS`` and its kin say otherwise; so do Terraform's ``TF_HTTP_*``, when
    ``TF_HTTP_ADDRESS`` is this address.
    """
    check_state_url(url)
    try:
        found = parse_http_state_url(url)
    except UrlError as error:
        raise url_error(url, str(error)) from None
    managed = found.managed
    beside = found.url._replace(path=found.url.path.rstrip("/") + "/lock").text if managed else url

    def said(name: str, default: str) -> str:
        own = environ.get(f"PRAGMASPEC_HTTP_{name}", "")
        terraform = environ.get(f"TF_HTTP_{name}", "") if environ.get("TF_HTTP_ADDRESS", "") == url else ""
        return own or terraform or default

    lock = said("LOCK_ADDRESS", beside)
    place = HttpConfig(
        address=url,
        update_method=said("UPDATE_METHOD", "POST"),
        lock_address=lock,
        lock_method=said("LOCK_METHOD", "POST" if managed else "LOCK"),
        unlock_address=said("UNLOCK_ADDRESS", lock),
        unlock_method=said("UNLOCK_METHOD", "DELETE" if managed else "UNLOCK"),
    )
    for address in (place.lock_address, place.unlock_address):
        check_state_url(address)
        _check_web(address)
    for method in (place.update_method, place.lock_method, place.unlock_method):
        if not _METHOD.fullmatch(method):
            raise UsageError("Not an HTTP method", f"`{method}` was set as one; they are capitals.")
    return place


def _check_web(address: str) -> None:
    """Raises UsageError for the address of a lock that is not on the web."""
    try:
        parse_url(address)
    except UrlError as error:
        raise url_error(address, str(error)) from None
