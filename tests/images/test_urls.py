import pytest

from pragmaspec.images.urls import less_safe, public_url


@pytest.mark.parametrize(
    ("before", "after", "refused"),
    [
        ("https://a/x", "https://b/y", False),
        ("http://a/x", "https://a/x", False),
        ("http://a/x", "http://b/x", False),
        ("https://a/x", "http://a/x", True),
        ("HTTPS://a/x", "HTTP://a/x", True),
        ("http://a/x", "file:///etc/passwd", True),
        ("http://a/x", "ftp://a/x", True),
    ],
)
def test_a_redirect_never_gives_up_tls(before: str, after: str, refused: bool) -> None:
    assert less_safe(before, after) is refused


def test_what_may_be_secret_is_not_shown() -> None:
    assert public_url("https://user:word@host:8443/a/b?signature=x#y") == "https://host:8443/a/b"
