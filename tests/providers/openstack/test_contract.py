"""The contract of the provider protocol, at a real OpenStack."""

import pytest

from pragmaspec.testing.contract import *  # noqa: F403 - the tests of the contract
from pragmaspec.testing.selection import has

pytestmark = [
    pytest.mark.openstack,
    has(
        "boot_check",
        "duplicate_removal",
        "faithful",
        "flavors",
        "ident",
        "image_listing",
        "late_public",
        "network_use",
        "quotas",
        "site_images",
        "translated",
        "user_data",
        "volume_storage",
    ),
]
