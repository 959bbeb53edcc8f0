import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pragmaspec.net.urls import (
    REMOTE_SCHEMES,
    Url,
    UrlError,
    check_remote_url,
    is_downgrade,
    is_loopback,
    is_remote,
    parse_url,
    redact_passwords,
    redact_url,
    reject_url,
    resolve_reference,
    same_server,
    scheme_of,
)


@pytest.mark.parametrize(
    ("text", "sent"),
    [
        ("http://127.0.0.1:8080/x", "http://127.0.0.1:8080/x"),
        ("HTTPS://Images.Example.ORG", "https://images.example.org"),
        ("http://h:/x", "http://h/x"),
        ("http://h:0080/x", "http://h:80/x"),
        ("http://[2001:DB8::1]:80/x?q=1#part", "http://[2001:db8::1]:80/x?q=1"),
        ("http://[fe80::1%25eth0]/", "http://[fe80::1%25eth0]/"),
        ("https://bücher.example/dänk?ü", "https://xn--bcher-kva.example/d%C3%A4nk?%C3%BC"),
        ("https://例え.テスト/", "https://xn--r8jz45g.xn--zckzah/"),
        ("http://trailing.example./x", "http://trailing.example./x"),
        ("http://under_score.example/a@v1;b=c", "http://under_score.example/a@v1;b=c"),
        ("http://2130706433/x", "http://2130706433/x"),
        ("http://me:word@h/x", "http://me:word@h/x"),
        ("http://me@h/%7Ex", "http://me@h/%7Ex"),
    ],
)
def test_a_valid_url_is_sent_as_ascii(text: str, sent: str) -> None:
    assert parse_url(text).text == sent
    assert parse_url(sent).text == sent


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("http://127.0.0.1:99999/x", "port is not between 1 and 65535"),
        ("http://127.0.0.1:65536/x", "port is not between 1 and 65535"),
        ("http://127.0.0.1:" + "9" * 5000, "port is not between 1 and 65535"),
        ("http://127.0.0.1:0/x", "port is not between 1 and 65535"),
        ("http://127.0.0.1:80a/x", "port is not a number"),
        ("http://127.0.0.1:-1/x", "port is not a number"),
        ("http://127.0.0.1:\uff18\uff10/x", "port is not a number"),
        ("http:///x", "has no host"),
        ("http://", "has no host"),
        ("http://?x", "has no host"),
        ("http://:80/x", "has no host"),
        ("http://me@/x", "has no host"),
        ("http:/x", "// is missing after http:"),
        ("http:x", "// is missing after http:"),
        ("htps://h/x", "the scheme htps: is not supported; write https:// instead"),
        ("gopher://h/x", "the scheme gopher: is not supported; write https:// or http://"),
        ("localhost:8080/x", "the scheme localhost: is not supported"),
        ("//h/x", "does not start with https:// or http://"),
        ("127.0.0.1:8080/x", "does not start with"),
        ("h", "does not start with"),
        ("", "does not start with"),
        ("http://[::1/x", "brackets"),
        ("http://::1]/x", "brackets"),
        ("http://[::1]x/x", "brackets"),
        ("http://[::1]:[80]/x", "brackets"),
        ("http://[::1:80/x", "brackets"),
        ("http://[1.2.3.4]/x", "not an IPv6 address"),
        ("http://[]/x", "not an IPv6 address"),
        ("http://::1/x", "its host contains two colons"),
        ("http://a:b:c/", "its host contains two colons"),
        ("http://h/a b", "contains a space"),
        ("http://h /x", "contains a space"),
        (" http://h/x", "contains a space"),
        ("http://h/a\tb", r"an invisible character \(U\+0009\)"),
        ("http://h/a\nb", r"U\+000A"),
        ("http://h/a\x00b", r"U\+0000"),
        ("http://h/a\u200bb", r"U\+200B"),
        ("http://h/a\u00a0b", r"U\+00A0"),
        ("http://h/\ud800", r"U\+D800"),
        ("http:\\\\h\\x", "backslash"),
        ("http://h/%zz", "two hexadecimal digits"),
        ("http://h/100%", "two hexadecimal digits"),
        ("http://h/?a=%4", "two hexadecimal digits"),
        ("http://a..b/x", "empty label between two dots"),
        ("http://.b/x", "empty label"),
        ("http://" + "a" * 64 + ".example/", "too long"),
        ("http://" + ".".join(["a" * 60] * 5) + "/", "too long"),
        ("http://" + "ü" * 64 + ".example/", "internationalized domain name"),
        ("http://☃.example/", "internationalized domain name"),
        ("http://a!b/x", "character that host names cannot contain"),
        ("http://a%41b/x", "character that host names cannot contain"),
        ("http://*.example/x", "character that host names cannot contain"),
        ("http://256.1.1.1/x", "not an IPv4 address"),
        ("http://1.2.3.4444/x", "not an IPv4 address"),
        ("http://me@you@h/x", "two @"),
    ],
)
def test_an_invalid_url_is_rejected_with_the_reason(text: str, why: str) -> None:
    with pytest.raises(UrlError, match=why) as refused:
        parse_url(text)
    assert not str(refused.value).endswith(".")


def test_schemes_other_than_http_may_omit_the_host_and_contain_spaces() -> None:
    assert parse_url("postgresql:///clusters", ("postgresql",), host_needed=False).host == ""
    assert parse_url("s3://bucket/a b", REMOTE_SCHEMES, blanks=True).path == "/a b"
    with pytest.raises(UrlError, match="has no host"):
        parse_url("postgresql://:5432/clusters", ("postgresql",), host_needed=False)
    assert parse_url("http://h") == Url("http", "h")
    assert parse_url("http://[::1]/").is_local
    assert parse_url("http://me:word@[::1]:80/a?b#c").shown == "http://[::1]:80/a"


@pytest.mark.parametrize(
    ("location", "target"),
    [
        ("/x y", "https://h:8/x%20y"),
        ("c?d e", "https://h:8/a/c?d+e"),
        ("//o/x", "https://o/x"),
        ("//o", "https://o/"),
        ("?y", "https://h:8/a/b?y"),
        ("#f", "https://h:8/a/b?q"),
        ("../../z", "https://h:8/z"),
        (" /x\t", "https://h:8/x"),
        ("/ä".encode().decode("latin-1"), "https://h:8/%C3%A4"),
        ("/\xe4", "https://h:8/%E4"),
        ("https://bücher.example/ä?ä#ä".encode().decode("latin-1"), "https://xn--bcher-kva.example/%C3%A4?%C3%A4"),
        ("HTTP://o:80/x", "http://o:80/x"),
        ("/100%/%41", "https://h:8/100%25/%41"),
        ("/a\\b", "https://h:8/a%5Cb"),
        ("./a:b", "https://h:8/a/a:b"),
        ("1:b", "https://h:8/a/1:b"),
        ("http://me:word@o/x", "http://me:word@o/x"),
    ],
)
def test_a_redirect_target_is_resolved_as_browsers_do(location: str, target: str) -> None:
    assert resolve_reference(parse_url("https://h:8/a/b?q"), location).text == target


@pytest.mark.parametrize(
    ("location", "why"),
    [
        ("http://[::1", "brackets"),
        ("http://h:99999/", "port"),
        ("///x", "no host"),
        ("http:/x", "// is missing"),
        ("mailto:me", "neither http: nor https:"),
        ("file:///etc/passwd", "the scheme file: is neither"),
        ("/a\x00b", "control character"),
        ("/a\x7fb", "control character"),
        ("http://\xe4/", "not valid UTF-8"),
        ("http://a b/", "host names cannot contain"),
    ],
)
def test_an_invalid_redirect_target_is_rejected(location: str, why: str) -> None:
    with pytest.raises(UrlError, match=why):
        resolve_reference(parse_url("https://h:8/a/b?q"), location)


@given(st.text(max_size=60) | st.text(alphabet="htps:/[]@%?#.0129aé\\ \x00", max_size=60).map(lambda text: "http://" + text))
def test_any_text_is_either_a_url_or_rejected(text: str) -> None:
    redact_url(text)
    try:
        found = parse_url(text)
    except UrlError:
        return
    assert parse_url(found.text).text == found.text
    assert found.text.isascii()
    assert found.text.isprintable()


@given(st.text(alphabet=[chr(code) for code in range(256)], max_size=40))
def test_any_location_header_is_either_resolved_or_rejected(location: str) -> None:
    try:
        found = resolve_reference(parse_url("http://h/a/b"), location)
    except UrlError:
        return
    assert parse_url(found.text).text == found.text


@pytest.mark.parametrize(
    ("before", "after", "downgrade"),
    [
        ("https://a/x", "https://b/y", False),
        ("http://a/x", "https://a/x", False),
        ("http://a/x", "http://b/x", False),
        ("https://a/x", "http://a/x", True),
        ("HTTPS://a/x", "HTTP://a/x", True),
        ("http://a/x", "s3://a/x", True),
    ],
)
def test_a_redirect_that_drops_tls_is_a_downgrade(before: str, after: str, downgrade: bool) -> None:
    assert is_downgrade(parse_url(before), parse_url(after, REMOTE_SCHEMES)) is downgrade


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("https://user:word@host:8443/a/b?signature=x#y", "https://host:8443/a/b"),
        ("https://token@h/x", "https://h/x"),
        ("https://u:p@q@h/x", "https://h/x"),
        ("https://u:p/w@h/x", "https://h/x"),
        ("https://u:p?w@h/x", "https://h/x"),
        ("https:/u:p@h/x", "https:/h/x"),
        ("u:p@h/x", "h/x"),
        ("http://h/x@v1", "http://h/x@v1"),
        ("http://h:80/x@v1", "http://h:80/x@v1"),
        ("http://[::1]:80/x@v1", "http://[::1]:80/x@v1"),
        ("./disk@v1.qcow2", "./disk@v1.qcow2"),
        ("http://[::1", "http://[::1"),
    ],
)
def test_redaction_removes_everything_that_may_be_secret(text: str, shown: str) -> None:
    assert redact_url(text) == shown


def test_servers_are_compared_by_scheme_host_and_port() -> None:
    assert same_server("https://h/x", "https://h:443/y")
    assert not same_server("https://h/x", "http://h/x")
    assert not same_server("https://h/x", "https://h:99999/x")
    assert not same_server("", "")
    assert parse_url("https://h/x").server == ("https", "h", 443)


def test_paths_are_not_urls() -> None:
    assert [scheme_of(text) for text in ("./x", "C:x", "HTTP://h", "a/b:c", "https:")] == ["", "", "http", "", "https"]
    assert is_remote("s3://b/k")
    assert not is_remote("./s3://b/k")
    for fine in ("./disk.qcow2", "C:/x", "s3://b/a b", "http://h/x"):
        check_remote_url(fine)
    for wrong in ("htps://h/x", "http:/x", "http://h:99999/"):
        with pytest.raises(UrlError):
            check_remote_url(wrong)


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("localhost", True),
        ("LocalHost.", True),
        ("127.0.0.9", True),
        ("::1", True),
        ("10.0.0.1", False),
        ("localhost.a", False),
    ],
)
def test_loopback_names_and_addresses(host: str, loopback: bool) -> None:
    assert is_loopback(host) is loopback


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("http://ada:secret@h/x?token=secret", "http://h/x"),
        ("https:/ada:secret@h/x", "https://h/x"),
        ("s3://bucket/key", "s3://bucket/key"),
        ("file:///srv/x", "file:///srv/x"),
    ],
)
def test_a_url_in_place_of_a_path_is_rejected_without_its_secrets(text: str, shown: str) -> None:
    with pytest.raises(UrlError, match=f"^{re.escape(shown)} is a URL, but a local path is required$"):
        reject_url(text)


@pytest.mark.parametrize("path", ["x", "./http://h/x", "a/http:/x", "C:/x", "/srv/http:/x", "key:x", ""])
def test_paths_may_contain_colons(path: str) -> None:
    reject_url(path)


def test_passwords_of_urls_in_a_sentence_are_removed() -> None:
    assert redact_passwords("http://a:b@h/x and ftp:/c:d@h.") == "http://h/x and ftp:/h."
    for unchanged in ("http://h:80/a@b", "See a: b@c", "http://a@h/", "https://h/x:y@z"):
        assert redact_passwords(unchanged) == unchanged
