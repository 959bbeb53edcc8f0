"""Small reproducible ISO 9660 images with a few files in the root directory.

pycdlib always writes the current time, so the dates are overwritten afterwards, at the offsets defined by ECMA-119 (sections
8.4.26 to 8.4.29 and 9.1.5) and the Rock Ridge ``TF`` field (RRIP 1.12, section 4.1.6).
"""

from collections.abc import Iterator, Mapping
from io import BytesIO

_SECTOR = 2048
_FIRST_DESCRIPTOR = 16
_TERMINATOR = 255
_LONG_DATES = range(813, 881, 17)
_ROOT_RECORD = 156
_RECORD_DATE = 18
_LONG_DATE = b"2000010100000000\0"
_UNSET_LONG_DATE = b"0000000000000000\0"
_SHORT_DATE = bytes((100, 1, 1, 0, 0, 0, 0))


def iso_image(label: str, files: Mapping[str, bytes]) -> bytes:
    """Return an image labelled ``label`` with ``files`` (lower-case names) in its root, with Joliet and Rock Ridge names."""
    # Importing pycdlib takes 70 ms, and only a boot needs it.
    from pycdlib import PyCdlib  # noqa: PLC0415

    image = PyCdlib()
    image.new(interchange_level=3, joliet=3, rock_ridge="1.09", vol_ident=label)
    for name, content in files.items():
        plain = name.replace("-", "").upper()
        plain += ".;1" if "." not in plain else ";1"
        image.add_fp(BytesIO(content), len(content), f"/{plain}", rr_name=name, joliet_path=f"/{name}", file_mode=0o100400)
    buffer = BytesIO()
    image.write_fp(buffer)
    image.close()
    data = bytearray(buffer.getvalue())
    _set_dates(data)
    return bytes(data)


def _set_dates(data: bytearray) -> None:
    for descriptor in _descriptors(data):
        for at in _LONG_DATES:
            field = slice(descriptor + at, descriptor + at + len(_LONG_DATE))
            if data[field] != _UNSET_LONG_DATE:
                data[field] = _LONG_DATE
        root = descriptor + _ROOT_RECORD
        data[root + _RECORD_DATE : root + _RECORD_DATE + len(_SHORT_DATE)] = _SHORT_DATE
        for record in _records(data, root):
            data[record + _RECORD_DATE : record + _RECORD_DATE + len(_SHORT_DATE)] = _SHORT_DATE
            for stamp in _stamps(data, record):
                data[stamp : stamp + len(_SHORT_DATE)] = _SHORT_DATE


def _descriptors(data: bytearray) -> Iterator[int]:
    """Yield the offset of each volume descriptor: the primary one and Joliet's."""
    at = _FIRST_DESCRIPTOR * _SECTOR
    while data[at] != _TERMINATOR:
        yield at
        at += _SECTOR


def _records(data: bytearray, root: int) -> Iterator[int]:
    """Yield the offset of each record of the root directory. Records never cross sectors; the rest of a sector is zero."""
    at = int.from_bytes(data[root + 2 : root + 6], "little") * _SECTOR
    end = at + int.from_bytes(data[root + 10 : root + 14], "little")
    while at < end:
        if data[at]:
            yield at
            at += data[at]
        else:
            at += _SECTOR - at % _SECTOR


def _stamps(data: bytearray, record: int) -> Iterator[int]:
    """Yield the offset of each date in the record's ``TF`` field; Joliet records have none."""
    end = record + data[record]
    name_bytes = data[record + 32]
    at = record + 33 + name_bytes + (name_bytes + 1) % 2
    while at + 4 <= end and data[at + 2]:
        if data[at : at + 2] == b"TF":
            yield from range(at + 5, at + data[at + 2], len(_SHORT_DATE))
        at += data[at + 2]
