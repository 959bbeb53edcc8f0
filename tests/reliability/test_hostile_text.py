"""Hostile text in specs, in XML, and in responses of sites and servers."""

from time import process_time
from xml.etree.ElementTree import fromstring

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from pragmaspec.errors import ImageError, SiteError, SpecError
from pragmaspec.images.pragma.vc_in import read_vc_in
from pragmaspec.providers.libvirt.domains.xml import DirectKernel, DomainConfig, GuestPlatform, InterfaceLink, domain_xml
from pragmaspec.report.problems_text import problems_text
from pragmaspec.resources import Mark, Nic, Node
from pragmaspec.spec.yaml.parser import read_document
from pragmaspec.spec.yaml.tree import Mapping, plain_data
from tests.cli.harness import CommandLine

LINEAGE = "5ca1ab1e-0000-4000-8000-000000000001"


def doubling_merge_keys(levels: int) -> bytes:
    """Return merge keys that double with every level: a few hundred bytes that would expand to 2^levels values."""
    lines = ["k0: &k0 {a: 1}"]
    lines += [f"k{n}: &k{n} {{<<: [*k{n - 1}, *k{n - 1}], b{n}: 1}}" for n in range(1, levels)]
    return "\n".join(lines).encode()


@pytest.mark.parametrize("levels", [30, 40])
def test_doubling_merge_keys_are_read_in_bounded_time(levels: int) -> None:
    began = process_time()
    root = read_document(doubling_merge_keys(levels), "x").root
    assert isinstance(root, Mapping)
    assert len(plain_data(root)[f"k{levels - 1}"]) == levels
    assert process_time() - began < 1


def test_too_many_merge_keys_are_refused() -> None:
    with pytest.raises(SpecError, match="Too many aliases"):
        read_document(doubling_merge_keys(60), "x")


ATTACK = "vm</name><devices><disk type='block'><source dev='/dev/sda'/></disk></devices><name>&x;<![CDATA["


def domain_config(text: str) -> DomainConfig:
    node = Node(
        site="lab",
        cluster="hello",
        name="hello-frontend",
        role="frontend",
        index=0,
        cpus=1,
        memory_mib=128,
        disk_bytes=2**20,
        image="ab" * 32,
        nics=(Nic(network="private", mac="52:54:00:00:00:01", address="10.0.0.1", prefix=16),),
    )
    return DomainConfig(
        node=replace(node, name=text, cluster=text, site=text),
        mark=Mark(lineage=LINEAGE, address=text, op=text),
        platform=GuestPlatform(virt_type="qemu"),
        disk=f"/pool/{text}",
        base=f"/pool/{text}",
        base_format="qcow2",
        seed=f"/pool/{text}",
        console_log=f"/pool/{text}",
        links=(InterfaceLink(mac="52:54:00:00:00:01", network=text),),
        direct=DirectKernel(kernel=f"/pool/{text}", cmdline=text),
    )


def shape(text: str) -> list[tuple[str, tuple[str, ...]]]:
    """Return all elements of the domain with their attribute names, which markup in ``text`` would change."""
    return [(element.tag, tuple(element.keys())) for element in fromstring(domain_xml(domain_config(text))).iter()]


@pytest.mark.parametrize("text", [ATTACK, "'\"><", "]]>", "<!--", "<?x?>", "&amp;lt;"])
def test_no_value_becomes_markup_in_a_domain(text: str) -> None:
    root = fromstring(domain_xml(domain_config(text)))
    assert shape(text) == shape("x")
    assert root.findtext("os/cmdline") == text
    assert {source.get("file") for source in root.iterfind("devices/disk/source")} == {f"/pool/{text}"}


@given(st.text(st.characters(min_codepoint=32, exclude_categories=("Cs", "Cc")), min_size=1, max_size=40))
def test_any_printable_value_is_text_in_a_domain(text: str) -> None:
    assert shape(text) == shape("x")


DEEP = b"<vc><frontend><domain>" + b"<a>" * 100_000 + b"</a>" * 100_000 + b"</domain></frontend></vc>"
ENTITIES = b"".join(b"<!ENTITY a%d '%s'>" % (n, b"&a%d;" % (n - 1) * 10) for n in range(1, 9))


@pytest.mark.parametrize(
    "text", [b"<!DOCTYPE vc [%s]><vc>&a8;</vc>" % ENTITIES, b'<!DOCTYPE vc SYSTEM "file:///etc/passwd"><vc/>']
)
def test_xml_with_internal_or_external_entities_is_refused(text: bytes) -> None:
    with pytest.raises(ImageError, match="entities"):
        read_vc_in(text, "x")


def test_deeply_nested_xml_is_read_within_a_second() -> None:
    began = process_time()
    read_vc_in(DEEP, "x")
    assert process_time() - began < 1


CONTROL = "\x1b]0;owned\x07\x1b[2J\u202etxt\u200b\r\x00"


def test_control_characters_in_site_errors_are_not_printed() -> None:
    error = SiteError(f"refused {CONTROL}", f"the site responded: {CONTROL}")
    for options in ({"unicode": True}, {"unicode": False}):
        shown = problems_text(error.problems, width=100, colour=False, **options)
        assert not any(character in shown for character in CONTROL if not character.isprintable())
        assert "owned" in shown


def test_control_characters_and_tokens_of_an_error_page_are_not_printed(cli: CommandLine) -> None:
    """The state server responds with an error page that contains control characters and a token."""
    from tests.state.backends.faulty_proxy import FaultyProxy
    from tests.state.backends.http_server import StateServer

    body = f"<html>{CONTROL} token=glpat-SECRET</html>".encode()
    with StateServer("plain") as server, FaultyProxy(server.port) as proxy:
        proxy.on("say", lambda *_: True, times=100, status=403, body=body)
        cli.spec()
        result = cli("plan", "--state", server.url("x", proxy.port), status=1)
        as_json = cli("plan", "--json", "--state", server.url("x", proxy.port), status=1)
    for text in (result.err, as_json.out):
        assert "403" in text
        assert "glpat-SECRET" not in text
        assert not any(character in text for character in "\x1b\x07\x00\u202e\u200b")
    assert msgspec.json.decode(as_json.out)["kind"] == "error"
