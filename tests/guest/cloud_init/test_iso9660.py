import time
from io import BytesIO

from pycdlib import PyCdlib

from pragmaspec.guest.cloud_init.iso9660 import iso_image

FILES = {"user-data": b"#cloud-config\n", "meta-data": b"", "guest.tar": bytes(range(256)) * 100}


def read_back(data: bytes, tree: str) -> dict[str, bytes]:
    image = PyCdlib()
    image.open_fp(BytesIO(data))
    found = {}
    for name in FILES:
        buffer = BytesIO()
        image.get_file_from_iso_fp(buffer, **{tree: f"/{name}"})
        found[name] = buffer.getvalue()
    image.close()
    return found


def test_files_are_readable_by_rock_ridge_and_joliet_names() -> None:
    data = iso_image("cidata", FILES)
    assert read_back(data, "rr_path") == FILES
    assert read_back(data, "joliet_path") == FILES


def test_the_label_is_in_both_volume_descriptors() -> None:
    data = iso_image("cidata", FILES)
    primary, joliet = (data[sector * 2048 : (sector + 1) * 2048] for sector in (16, 17))
    assert (primary[0], primary[1:6]) == (1, b"CD001")
    assert primary[40:72].decode().strip() == "cidata"
    assert joliet[0] == 2
    assert joliet[40:72].decode("utf-16-be").strip() == "cidata"


def test_images_are_reproducible() -> None:
    first = iso_image("cidata", FILES)
    begin = int(time.time())
    # Dates in ISO 9660 have a resolution of one second: wait for the next one.
    while int(time.time()) == begin:
        time.sleep(0.01)
    assert iso_image("cidata", FILES) == first


def test_a_root_directory_of_several_sectors_is_reproducible() -> None:
    files = {f"file-{number}": b"x" for number in range(60)}
    begin = int(time.time())
    first = iso_image("cidata", files)
    while int(time.time()) == begin:
        time.sleep(0.01)
    assert iso_image("cidata", files) == first
