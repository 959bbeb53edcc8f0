"""A provider in a package of its own: the real hypervisor as a cloud, whose machines have user-data instead of seeds."""

from pragmaspec.plugins import BUILT_IN
from pragmaspec.providers.api import Delivery, ProviderDescription

USER_DATA_LIMIT = 2400
"""In bytes: the essential part fits, the host keys and the description of the cluster do not."""

description = ProviderDescription(
    api=1,
    options="tests.e2e.cloud.options:CloudOptions",
    provider="tests.e2e.cloud.provider:CloudProvider",
    abilities=tuple(name for name in BUILT_IN["libvirt"].abilities if name != "peer_images"),
    delivery=Delivery(user_data_limit=USER_DATA_LIMIT),
)
