"""Refusals of OpenStack's services: the status, the kind and the message of an answer, in the formats of each service."""

import re
from typing import Any

import msgspec

_MESSAGE_MAX = 600
_QUOTA_STATUSES = frozenset({403, 409, 413})
_QUOTA = re.compile(
    r"quota exceeded|exceeded for quota|exceeds allowed \S+ quota|larger than maximum allowed limit", re.IGNORECASE
)
"""In messages of Nova, and of Cinder."""
_SECRET = re.compile(r"[A-Za-z0-9+/_=-]{64,}")
"""Nova quotes user-data, which has private keys, in its refusal."""
_TAG = re.compile(r"<[^>]*>")


class CallError(Exception):
    """A refusal of a service.

    ``kind`` is the service's name of it, such as ``OverQuota`` (Neutron) or ``conflictingRequest`` (Nova); empty: none.
    """

    def __init__(self, status: int, kind: str, message: str, call: str) -> None:
        self.status = status
        self.kind = kind
        self.message = message = _SECRET.sub("…", message)
        self.call = call
        super().__init__(f"{message} ({call}: HTTP {status})")

    @property
    def is_quota(self) -> bool:
        """True if a quota is exceeded."""
        return self.kind == "OverQuota" or (self.status in _QUOTA_STATUSES and _QUOTA.search(self.message) is not None)


def call_error(status: int, content: bytes, call: str) -> CallError:
    """Return the refusal in an answer.

    Nova and Cinder: ``{"badRequest": {"code": 400, "message": "…"}}``; Neutron: ``{"NeutronError": {"type": "…", "message":
    "…"}}``; Keystone: ``{"error": {"code": 401, "message": "…"}}``; Glance: a page in HTML.
    """
    try:
        document: Any = msgspec.json.decode(content)
    except msgspec.DecodeError:
        text = " ".join(_TAG.sub(" ", content.decode("utf-8", "replace")).split())
        return CallError(status, "", text[:_MESSAGE_MAX] or "no reason given", call)
    kind, detail = next(iter(document.items()), ("", "")) if isinstance(document, dict) else ("", document)
    if not isinstance(detail, dict):
        detail = {"message": detail}
    message = str(detail.get("message") or "no reason given")
    return CallError(status, str(detail.get("type") or kind), message[:_MESSAGE_MAX], call)
