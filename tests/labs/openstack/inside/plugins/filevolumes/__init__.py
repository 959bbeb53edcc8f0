"""Volume driver of cinder: each volume is a sparse file in a directory, which nova attaches as a file of an NFS share."""

import os
import subprocess
from pathlib import Path

from cinder.image import image_utils
from cinder.volume import driver, volume_utils

DIRECTORY = Path("/lab/volumes")
SHARE = f"lab:{DIRECTORY}"
GIB = 2**30


class FileVolumeDriver(driver.VolumeDriver):
    VERSION = "1.0"

    def check_for_setup_error(self):
        pass

    def get_volume_stats(self, refresh=False):
        return {
            "volume_backend_name": self.configuration.volume_backend_name,
            "vendor_name": "lab",
            "driver_version": self.VERSION,
            "storage_protocol": "nfs",
            "total_capacity_gb": "infinite",
            "free_capacity_gb": "infinite",
            "reserved_percentage": 0,
        }

    def create_volume(self, volume):
        path(volume).touch(mode=0o600)
        self.extend_volume(volume, volume.size)

    def delete_volume(self, volume):
        path(volume).unlink(missing_ok=True)

    def extend_volume(self, volume, new_size):
        os.truncate(path(volume), new_size * GIB)

    def create_snapshot(self, snapshot):
        copy(snapshot.volume, snapshot)

    def delete_snapshot(self, snapshot):
        path(snapshot).unlink(missing_ok=True)

    def create_volume_from_snapshot(self, volume, snapshot):
        copy(snapshot, volume)
        self.extend_volume(volume, volume.size)

    def create_cloned_volume(self, volume, src_vref):
        copy(src_vref, volume)
        self.extend_volume(volume, volume.size)

    def copy_image_to_volume(self, context, volume, image_service, image_id, disable_sparse=False):
        image_utils.fetch_to_raw(context, image_service, image_id, str(path(volume)), "1M", size=volume.size, run_as_root=False)
        self.extend_volume(volume, volume.size)

    def copy_volume_to_image(self, context, volume, image_service, image_meta):
        volume_utils.upload_volume(context, image_service, image_meta, str(path(volume)), volume, run_as_root=False)

    def ensure_export(self, context, volume):
        pass

    def create_export(self, context, volume, connector):
        pass

    def remove_export(self, context, volume):
        pass

    def initialize_connection(self, volume, connector):
        return {"driver_volume_type": "nfs", "data": {"export": SHARE, "name": volume.name, "format": "raw"}}

    def terminate_connection(self, volume, connector, **kwargs):
        pass


def path(thing):
    """Return the file of a volume or a snapshot."""
    return DIRECTORY / thing.name


def copy(source, target):
    subprocess.run(["cp", "--sparse=always", path(source), path(target)], check=True)
