"""Configuration of a state on an HTTP server: addresses and methods for reading, writing and locking."""

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
    """The address of a state, and the requests that write it and take and release its lock."""

    address: str
    update_method: str
    lock_address: str
    lock_method: str
    unlock_address: str
    unlock_method: str

    @property
    def title(self) -> str:
        """The address without credentials."""
        return redact_url(self.address)

    def write_address(self, lock_id: str) -> str:
        """Return the address for writes under the lock ``lock_id``: the query gets the parameter ``ID``."""
        address = parse_url(self.address)
        query = [pair for pair in parse_qsl(address.query, keep_blank_values=True) if pair[0] != "ID"]
        return address._replace(query=urlencode([*query, ("ID", lock_id)])).text


def http_config(url: str, environ: Mapping[str, str] = os.environ) -> HttpConfig:
    """Return the configuration of the state at ``url``. Raises UsageError.

    GitLab (``…/terraform/state/NAME``) and Gitea lock at ``/lock`` with POST and DELETE, all other servers at the address itself
    with LOCK and UNLOCK. ``PRAGMASPEC_HTTP_LOCK_ADDRESS`` and similar variables override this, and so do Terraform's
    ``TF_HTTP_*`` if ``TF_HTTP_ADDRESS`` is this address.
    """
    check_state_url(url)
    try:
        found = parse_http_state_url(url)
    except UrlError as error:
        raise url_error(url, str(error)) from None
    managed = found.managed
    default_lock = found.url._replace(path=found.url.path.rstrip("/") + "/lock").text if managed else url
    use_terraform = environ.get("TF_HTTP_ADDRESS", "") == url

    def setting(name: str, default: str) -> str:
        terraform = environ.get(f"TF_HTTP_{name}", "") if use_terraform else ""
        return environ.get(f"PRAGMASPEC_HTTP_{name}", "") or terraform or default

    lock = setting("LOCK_ADDRESS", default_lock)
    config = HttpConfig(
        address=url,
        update_method=setting("UPDATE_METHOD", "POST"),
        lock_address=lock,
        lock_method=setting("LOCK_METHOD", "POST" if managed else "LOCK"),
        unlock_address=setting("UNLOCK_ADDRESS", lock),
        unlock_method=setting("UNLOCK_METHOD", "DELETE" if managed else "UNLOCK"),
    )
    for address in (config.lock_address, config.unlock_address):
        check_state_url(address)
        _check_web_url(address)
    for method in (config.update_method, config.lock_method, config.unlock_method):
        if not _METHOD.fullmatch(method):
            raise UsageError("Invalid HTTP method", f"`{method}` is not a word in capitals.")
    return config


def _check_web_url(address: str) -> None:
    try:
        parse_url(address)
    except UrlError as error:
        raise url_error(address, str(error)) from None
