"""A limit for the redirects between regions that botocore follows."""

import threading
from typing import Any


class RedirectLoopError(Exception):
    """The server redirects the question for a bucket's region, too."""


class _Lookups(threading.local):
    under_way = 0


def forbid_redirect_loops(client: Any) -> None:  # noqa: ANN401 - no types
    """Let ``client`` look a bucket's region up once per redirect.

    botocore (``S3RegionRedirectorv2``) asks by HeadBucket for the region of a bucket that is said to be elsewhere. A server that
    redirects that as well is asked again from within, until Python's stack is full. Then RedirectCircleError is raised.
    """
    lookups = _Lookups()

    def begin(**_arguments: object) -> None:
        if lookups.under_way:
            raise RedirectLoopError
        lookups.under_way += 1

    def end(**_arguments: object) -> None:
        lookups.under_way -= 1

    events = client.meta.events
    events.register("before-call.s3.HeadBucket", begin)
    events.register("after-call.s3.HeadBucket", end)
    events.register("after-call-error.s3.HeadBucket", end)
