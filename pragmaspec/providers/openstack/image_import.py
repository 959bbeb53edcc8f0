"""Downloads of public images by the cloud itself: the import method ``web-download`` of Glance.

Source: OpenStack Image API v2, "Interoperable image import". An import is a task of Glance; after a failed one the image waits
for its bytes as before.
"""

import msgspec

from pragmaspec.providers.openstack.call_error import CallError
from pragmaspec.providers.openstack.client import Client
from pragmaspec.providers.openstack.objects import Answer, GlanceImage

METHOD = "web-download"
NOT_OFFERED = f"it does not offer the import method {METHOD}"
LIMIT_S = 3600.0
"""Longest download. Glance reports no progress, and has no limit of its own."""
_PAUSE_S = 1.0
_NOT_FOUND, _SERVER_FAILED = 404, 500


class _Methods(Answer, frozen=True):
    value: tuple[str, ...] = ()


class _ImportInfo(Answer, frozen=True):
    methods: _Methods = msgspec.field(default=_Methods(), name="import-methods")


class _Task(Answer, frozen=True):
    status: str = ""
    message: str | None = None


def is_offered(client: Client) -> bool:
    """True if the cloud downloads images. Clouds before Queens (2018) have no imports at all."""
    info = client.show("image", "/info/import", "", _ImportInfo)
    return info is not None and METHOD in info.methods.value


def download(client: Client, image: str, url: str) -> str:
    """Let the cloud fill ``image`` with the bytes at ``url``. Returns the reason of a failure; empty: the image is active."""
    body = {"method": {"name": METHOD, "uri": url}}
    try:
        client.call("image", "POST", f"/images/{image}/import", body=body)
    except CallError as error:
        if error.status >= _SERVER_FAILED:
            raise
        return error.message
    clock = client.clock
    began = clock.monotonic()
    while clock.monotonic() - began < LIMIT_S:
        found = client.show("image", f"/images/{image}", "", GlanceImage)
        if found is None:
            return "the image was deleted meanwhile"
        if found.status == "active":
            return ""
        if found.status == "queued" and (reason := _failure(client, image)):
            return reason
        clock.sleep(_PAUSE_S)
    return f"the download took more than {LIMIT_S / 60:.0f} minutes"


def _failure(client: Client, image: str) -> str:
    """Return the reason of the failed import of ``image``; empty: it has not failed."""
    tasks = client.show("image", f"/images/{image}/tasks", "tasks", tuple[_Task, ...]) or ()
    failed = next((task for task in tasks if task.status == "failure"), None)
    return "" if failed is None else (failed.message or "the cloud gives no reason").strip().rstrip(".")
