import re

import pytest

from pragmaspec.net.misplaced import redact_passwords, reject_url
from pragmaspec.net.urls import UrlError


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("http://ada:secret@h/x?token=secret", "http://h/x"),
        ("https:/ada:secret@h/x", "https://h/x"),
        ("s3://bucket/key", "s3://bucket/key"),
        ("file:///srv/x", "file:///srv/x"),
    ],
)
def test_a_url_is_no_path(text: str, said: str) -> None:
    with pytest.raises(UrlError, match=f"^{re.escape(said)} is a URL, and a path on this machine is needed$"):
        reject_url(text)


@pytest.mark.parametrize("path", ["x", "./http://h/x", "a/http:/x", "C:/x", "/srv/http:/x", "key:x", ""])
def test_paths_may_hold_colons(path: str) -> None:
    reject_url(path)


def test_passwords_in_a_sentence() -> None:
    assert redact_passwords("http://a:b@h/x and ftp:/c:d@h.") == "http://h/x and ftp:/h."
    for kept in ("http://h:80/a@b", "See a: b@c", "http://a@h/", "https://h/x:y@z"):
        assert redact_passwords(kept) == kept
