"""Where a publisher puts its images, and how it vouches for them: one entry of a catalogue."""

from pragmaspec.frozen import Frozen


class Publication(Frozen, frozen=True):
    """One line of images, such as Debian 12's.

    ``folder``: URL of a folder that its server lists. ``dated``: pattern of its subfolders, of which the newest is taken; empty:
    the files are in ``folder`` itself. ``file``: pattern of the image's name; of several the newest is taken, by the group
    ``version`` in it when there is one. ``sums``: pattern of the name of the file of digests beside it (``{file}`` stands for the
    image's name). ``signature``: what is added to that name for a detached signature; ``inline``: the signature is around the
    sums; empty: the publisher does not sign, and only TLS vouches for the sums. ``key``: the 40 digits of the fingerprint of the
    signing key; ``key_url``: where the key can be had; ``keyring``: a file that may have it, looked at first.

    Patterns are Python's regular expressions for the whole name. ``format``: of the image, when its bytes do not show it.
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
