"""Reading and writing XML: built and parsed by ``xml.etree`` alone, so that nothing a person wrote is ever markup."""

from xml.etree.ElementTree import Element, ParseError, fromstring, indent, tostring

from pragmaspec.errors import SiteError


def text(element: Element) -> str:
    """``element`` as an indented document with a final newline, the same for ever for the same element."""
    indent(element)
    return tostring(element, encoding="unicode") + "\n"


def parsed(document: str) -> Element:
    """The root of what libvirt answered. It comes from libvirt's own writer, which declares no entities."""
    try:
        return fromstring(document)  # noqa: S314 - libvirt wrote it; expat refuses entity bombs since 2.4.1
    except ParseError as error:
        raise SiteError("The site's answer cannot be read", f"libvirt sent XML that is not well-formed: {error}.") from error
