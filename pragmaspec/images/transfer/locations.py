"""Files and folders by the address that the user wrote: a path, an http(s) URL, an S3 URL, or a link to Google Drive."""

from pathlib import Path

from pragmaspec.images.context import ImageContext
from pragmaspec.images.transfer.folders import Folder, LocalFolder, WebFolder, folder_error
from pragmaspec.images.transfer.http import RemoteFile
from pragmaspec.net.urls import UrlError, check_remote_url, is_remote, is_url, redact_url


def remote_file(url: str, context: ImageContext) -> RemoteFile:
    """Return the file at ``url``. Raises ImageError."""
    from pragmaspec.images.transfer.cloudfront import WebFile  # noqa: PLC0415 - each kind loads what it needs
    from pragmaspec.images.transfer.gdrive import drive_file, parse_drive_link  # noqa: PLC0415
    from pragmaspec.images.transfer.s3 import s3_file  # noqa: PLC0415

    if is_url(url, ("s3",)):
        return s3_file(url)
    if link := parse_drive_link(url, context.settings.drive.site):
        return drive_file(link, context)
    return WebFile(url=url, signing=context.settings.cloudfront)


def open_folder(address: str, context: ImageContext) -> Folder:
    """Return the folder at ``address``: a path, an http(s) URL, ``s3://bucket/prefix/``, or a link to Google Drive."""
    from pragmaspec.images.transfer.gdrive import DriveFolder, parse_drive_folder  # noqa: PLC0415 - as above
    from pragmaspec.images.transfer.s3 import S3Folder  # noqa: PLC0415

    try:
        check_remote_url(address)
    except UrlError as error:
        raise folder_error(f"the URL {redact_url(address)} is invalid: {error}") from None
    if link := parse_drive_folder(address, context.settings.drive):
        return DriveFolder(link, context)
    if is_url(address, ("s3",)):
        return S3Folder(address, context)
    return WebFolder(address, context) if is_remote(address) else LocalFolder(Path(address))
