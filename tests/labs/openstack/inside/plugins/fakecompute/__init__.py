"""nova's fake driver with tags of devices, as libvirt's driver has them: without, nova fails to detach a volume with a tag."""

from nova import objects
from nova.virt import fake


class FakeComputeDriver(fake.MediumFakeDriver):
    def spawn(self, context, instance, *args, **kwargs):
        super().spawn(context, instance, *args, **kwargs)
        add_metadata(instance)

    def attach_volume(self, context, connection_info, instance, *args, **kwargs):
        super().attach_volume(context, connection_info, instance, *args, **kwargs)
        add_metadata(instance)


def add_metadata(instance):
    """Give the instance metadata of devices, which lists none."""
    if instance.device_metadata is None:
        instance.device_metadata = objects.InstanceDeviceMetadata(devices=[])
        instance.save()
