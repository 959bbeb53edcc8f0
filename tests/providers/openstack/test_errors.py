"""Refusals of OpenStack's services, and exceptions of its libraries, as errors for people."""

from types import ModuleType

import keystoneauth1.exceptions
import openstack.exceptions
import pytest

from pragmaspec.errors import SiteCapacityError, SiteConflictError, SiteError, SiteUnreachableError
from pragmaspec.providers.openstack.call_error import call_error
from pragmaspec.providers.openstack.errors import ERRORS, translated

NOVA_QUOTA = b'{"forbidden": {"code": 403, "message": "Quota exceeded for cores: Requested 64, but already used 2 of 20 cores"}}'
NEUTRON_QUOTA = b'{"NeutronError": {"type": "OverQuota", "message": "Quota exceeded for resources: [\'floatingip\']."}}'
TAKEN = b'{"NeutronError": {"type": "IpAddressAlreadyAllocated", "message": "IP address 10.40.0.10 already allocated"}}'
FULL = b'{"NeutronError": {"type": "IpAddressGenerationFailure", "message": "No more IP addresses"}}'
NOVA_LIMIT = b'{"overLimit": {"code": 413, "message": "This request was rate-limited.", "retryAfter": "2"}}'
CINDER_NUMBER = (
    b'{"overLimit": {"code": 413, "message": "Maximum number of volumes allowed (10) exceeded for quota \'volumes\'."}}'
)
CINDER_SIZE = (
    b'{"overLimit": {"code": 413, "message": "VolumeSizeExceedsAvailableQuota: Requested volume or snapshot exceeds allowed '
    b'gigabytes quota. Requested 9G, quota is 8G and 0G has been consumed."}}'
)
CINDER_LARGEST = b'{"badRequest": {"code": 413, "message": "Requested volume size 9G is larger than maximum allowed limit 8G."}}'
GLANCE = b"<html>\n <head><title>403 Forbidden</title></head>\n <body><h1>403 Forbidden</h1>You are not permitted.</body></html>"


@pytest.mark.parametrize(
    ("status", "content", "error", "words"),
    [
        (403, NOVA_QUOTA, SiteCapacityError, "already used 2 of 20 cores"),
        (409, NEUTRON_QUOTA, SiteCapacityError, "floatingip"),
        (409, TAKEN, SiteConflictError, "10.40.0.10"),
        (409, FULL, SiteCapacityError, "No more IP addresses"),
        (413, CINDER_NUMBER, SiteCapacityError, "volumes allowed (10)"),
        (413, CINDER_SIZE, SiteCapacityError, "quota is 8G"),
        (413, CINDER_LARGEST, SiteCapacityError, "limit 8G"),
        (413, NOVA_LIMIT, SiteUnreachableError, "rate-limited"),
        (429, b"", SiteUnreachableError, "no reason given"),
        (403, GLANCE, SiteError, "You are not permitted"),
        (401, b'{"error": {"code": 401, "message": "sign in"}}', SiteError, "sign in"),
        (404, b"{}", SiteError, "no reason given"),
        (406, b'{"computeFault": {"code": 406, "message": "Version 2.52 is not supported"}}', SiteError, "2.52"),
        (500, b'{"computeFault": {"code": 500, "message": "Unexpected"}}', SiteUnreachableError, "Unexpected"),
        (502, b"<html>Bad Gateway</html>", SiteUnreachableError, "Bad Gateway"),
        (400, b'["odd"]', SiteError, "odd"),
    ],
)
def test_a_refusal_becomes_an_error_with_the_words_of_the_service(
    status: int, content: bytes, error: type[SiteError], words: str
) -> None:
    with pytest.raises(SiteError) as raised, translated("boot hello-frontend"):
        raise call_error(status, content, "POST compute/servers")
    assert type(raised.value) is error
    assert words in str(raised.value)
    assert "Could not boot hello-frontend" in str(raised.value)


def test_user_data_in_a_refusal_are_not_shown() -> None:
    quoted = b'{"badRequest": {"code": 400, "message": "Invalid input for user_data. Value: ' + b"I2Nsb3Vk" * 50 + b'."}}'
    refusal = str(call_error(400, quoted, "POST compute/servers"))
    assert "I2Nsb3Vk" not in refusal
    assert "Invalid input for user_data. Value: …." in refusal


@pytest.mark.parametrize("module", [keystoneauth1.exceptions, openstack.exceptions])
def test_every_exception_of_the_libraries_is_translated(module: ModuleType) -> None:
    assert ERRORS.uncovered(module) == ()
