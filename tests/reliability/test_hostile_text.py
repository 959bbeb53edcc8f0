"""Texts that want to be more than text: in a spec, in XML, in what a site or a server answers."""

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


def merged(levels: int) -> bytes:
    """Merge keys that double with every level: a few hundred bytes that would become 2^levels values."""
    lines = ["k0: &k0 {a: 1}"]
    lines += [f"k{n}: &k{n} {{<<: [*k{n - 1}, *k{n - 1}], b{n}: 1}}" for n in range(1, levels)]
    return "\n".join(lines).encode()


@pytest.mark.parametrize("levels", [30, 40])
def test_merge_keys_that_double_stay_small(levels: int) -> None:
    began = process_time()
    root = read_document(merged(levels), "x").root
    assert isinstance(root, Mapping)
    assert len(plain_data(root)[f"k{levels - 1}"]) == levels
    assert process_time() - began < 1


def test_more_merge_keys_than_anybody_writes_are_refused() -> None:
    with pytest.raises(SpecError, match="Too many aliases"):
        read_document(merged(60), "x")


ATTACK = "vm</name><devices><disk type='block'><source dev='/dev/sda'/></disk></devices><name>&x;<![CDATA["


def parts(words: str) -> DomainConfig:
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
        node=replace(node, name=words, cluster=words, site=words),
        mark=Mark(lineage=LINEAGE, address=words, op=words),
        platform=GuestPlatform(virt_type="qemu"),
        disk=f"/pool/{words}",
        base=f"/pool/{words}",
        base_format="qcow2",
        seed=f"/pool/{words}",
        console_log=f"/pool/{words}",
        links=(InterfaceLink(mac="52:54:00:00:00:01", network=words),),
        direct=DirectKernel(kernel=f"/pool/{words}", cmdline=words),
    )


def shape(words: str) -> list[tuple[str, tuple[str, ...]]]:
    """Every element of the domain, with the names of its attributes: what markup in ``words`` would change."""
    return [(element.tag, tuple(element.keys())) for element in fromstring(domain_xml(parts(words))).iter()]


@pytest.mark.parametrize("words", [ATTACK, "'\"><", "]]>", "<!--", "<?x?>", "&amp;lt;"])
def test_no_value_becomes_markup_in_a_domain(words: str) -> None:
    root = fromstring(domain_xml(parts(words)))
    assert shape(words) == shape("x")
    assert root.findtext("os/cmdline") == words
    assert {source.get("file") for source in root.iterfind("devices/disk/source")} == {f"/pool/{words}"}


@given(st.text(st.characters(min_codepoint=32, exclude_categories=("Cs", "Cc")), min_size=1, max_size=40))
def test_whatever_is_printable_stays_text_in_a_domain(words: str) -> None:
    assert shape(words) == shape("x")


DEEP = b"<vc><frontend><domain>" + b"<a>" * 100_000 + b"</a>" * 100_000 + b"</domain></frontend></vc>"
ENTITIES = b"".join(b"<!ENTITY a%d '%s'>" % (n, b"&a%d;" % (n - 1) * 10) for n in range(1, 9))


@pytest.mark.parametrize(
    "text", [b"<!DOCTYPE vc [%s]><vc>&a8;</vc>" % ENTITIES, b'<!DOCTYPE vc SYSTEM "file:///etc/passwd"><vc/>']
)
def test_xml_that_explodes_or_points_elsewhere_is_refused(text: bytes) -> None:
    with pytest.raises(ImageError, match="entities"):
        read_vc_in(text, "x")


def test_xml_that_is_deep_is_read_soon() -> None:
    began = process_time()
    read_vc_in(DEEP, "x")
    assert process_time() - began < 1


CONTROL = "\x1b]0;owned\x07\x1b[2J\u202etxt\u200b\r\x00"


def test_what_a_site_says_in_an_error_is_shown_and_not_obeyed() -> None:
    error = SiteError(f"refused {CONTROL}", f"the site says: {CONTROL}")
    for options in ({"unicode": True}, {"unicode": False}):
        shown = problems_text(error.problems, width=100, colour=False, **options)
        assert not any(character in shown for character in CONTROL if not character.isprintable())
        assert "owned" in shown


def test_a_hostile_answer_reaches_neither_the_terminal_nor_the_state(cli: CommandLine) -> None:
    """A server for states that answers an error page full of control codes and a token."""
    from tests.state.backends.faulty_proxy import FaultyProxy
    from tests.state.backends.http_server import StateServer

    body = f"<html>{CONTROL} token=glpat-SECRET</html>".encode()
    with StateServer("plain") as server, FaultyProxy(server.port) as proxy:
        proxy.on("say", lambda *_: True, times=100, status=403, body=body)
        cli.spec()
        said = cli("plan", "--state", server.url("x", proxy.port), status=1)
        as_json = cli("plan", "--json", "--state", server.url("x", proxy.port), status=1)
    for text in (said.err, as_json.out):
        assert "403" in text
        assert "glpat-SECRET" not in text
        assert not any(character in text for character in "\x1b\x07\x00\u202e\u200b")
    assert msgspec.json.decode(as_json.out)["kind"] == "error"
