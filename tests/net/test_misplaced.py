import re

import pytest

from pragmaspec.net.misplaced import refuse_url, without_passwords
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
        refuse_url(text)


@pytest.mark.parametrize("path", ["x", "./http://h/x", "a/http:/x", "C:/x", "/srv/http:/x", "key:x", ""])
def test_paths_may_hold_colons(path: str) -> None:
    refuse_url(path)


def test_passwords_in_a_sentence() -> None:
    assert without_passwords("http://a:b@h/x and ftp:/c:d@h.") == "http://h/x and ftp:/h."
    for kept in ("http://h:80/a@b", "See a: b@c", "http://a@h/", "https://h/x:y@z"):
        assert without_passwords(kept) == kept
