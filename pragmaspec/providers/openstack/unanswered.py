"""Creations without an answer: the object is looked up until it is listed, before anybody asks for it again."""

from collections.abc import Callable
from typing import TypeVar

from pragmaspec.errors import SiteUnreachableError
from pragmaspec.providers.openstack.cloud import Cloud

Found = TypeVar("Found")

LOOKUP_LIMIT_S = 20.0
"""Time until an object whose creation got no answer is listed, if it was created at all."""
_PAUSE_S = 1.0


def created_without_answer(cloud: Cloud, find: Callable[[], Found | None], what: str, error: Exception) -> Found:
    """Return the object that a request without an answer has created. Raises SiteUnreachableError without one."""
    clock = cloud.client.clock
    began = clock.monotonic()
    while True:
        found = find()
        if found is not None:
            return found
        if clock.monotonic() - began >= LOOKUP_LIMIT_S:
            raise SiteUnreachableError(
                "The site does not answer",
                f"The request for {what} had no answer ({error}), and {cloud.title} does not list one. Apply again.",
            ) from error
        clock.sleep(_PAUSE_S)
