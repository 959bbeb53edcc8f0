"""Machines as directories on this computer. Nothing runs in them: an example of a provider in a package of its own."""

from pragmaspec.providers.api import Delivery, ProviderDescription

description = ProviderDescription(
    api=1,
    options="pragmaspec_directories.options:DirectoriesOptions",
    provider="pragmaspec_directories.provider:DirectoriesProvider",
    abilities=("boot_check",),
    delivery=Delivery(user_data_limit=16 * 2**10),
)
