"""Publishers' checksum files, and catalogue entries that describe where a publisher puts its images."""

from pragmaspec.frozen import Frozen

INLINE_SIGNATURE = "inline"


class PublishedChecksums(Frozen, frozen=True):
    """The URL of a checksum file, and the key that signs it.

    ``signature`` is its URL, ``inline`` for a signature around the checksums, or empty for none: then only TLS protects them.
    ``key`` is the fingerprint of the signing key, which comes from the file ``keyring`` (an absolute path) or from ``key_url``.
    """

    url: str
    signature: str = ""
    key: str = ""
    key_url: str = ""
    keyring: str = ""


class Publication(Frozen, frozen=True):
    """A catalogue entry: one series of images, such as those of Debian 12.

    - ``folder``: URL of a folder that its server lists.
    - ``dated``: pattern of its subfolders, the newest of which is used; empty if the files are in ``folder`` itself.
    - ``file``: pattern of the image's file name; of several, the newest is used, by the group ``version`` of the pattern if it
      has one.
    - ``sums``: pattern of the name of the checksum file beside the image; ``{file}`` stands for the image's name.
    - ``signature``: suffix of that name for a detached signature; ``inline`` for one around the checksums; empty for none: then
      only TLS protects the checksums.
    - ``key``: fingerprint of the signing key, 40 digits; ``key_url``: URL of the key; ``keyring``: a file that may contain it,
      read first.
    - ``format``: format of the image, if its content does not show it.

    Patterns are Python's regular expressions for the whole name.
    """

    folder: str
    file: str
    sums: str
    dated: str = ""
    signature: str = ""
    key: str = ""
    key_url: str = ""
    keyring: str = ""
    format: str | None = None
