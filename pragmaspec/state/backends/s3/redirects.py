"""Protection from redirect loops in botocore."""

import threading
from typing import Any


class RedirectLoopError(Exception):
    """The server redirects the request for a bucket's region as well."""


class _Lookups(threading.local):
    active = 0


def forbid_redirect_loops(client: Any) -> None:  # noqa: ANN401 - untyped
    """Allow ``client`` one lookup of a bucket's region per redirect.

    When a server redirects a request, botocore (``S3RegionRedirectorv2``) asks it for the region of the bucket by HeadBucket. If
    the server redirects that as well, botocore recurses until the stack overflows. With this, RedirectLoopError is raised.
    """
    lookups = _Lookups()

    def begin(**_arguments: object) -> None:
        if lookups.active:
            raise RedirectLoopError
        lookups.active += 1

    def end(**_arguments: object) -> None:
        lookups.active -= 1

    events = client.meta.events
    events.register("before-call.s3.HeadBucket", begin)
    events.register("after-call.s3.HeadBucket", end)
    events.register("after-call-error.s3.HeadBucket", end)
