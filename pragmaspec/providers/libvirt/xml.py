"""XML, built and parsed by ``xml.etree`` alone, so that text from users is never markup."""

from xml.etree.ElementTree import Element, ParseError, fromstring, indent, tostring

from pragmaspec.errors import SiteError


def to_text(element: Element) -> str:
    """Return ``element`` as an indented document with a final newline; deterministic."""
    indent(element)
    return tostring(element, encoding="unicode") + "\n"


def parse(document: str) -> Element:
    """Return the root of a document from libvirt, whose writer declares no entities. Raises SiteError when it is malformed."""
    try:
        return fromstring(document)  # noqa: S314 - libvirt wrote it; expat refuses entity bombs since 2.4.1
    except ParseError as error:
        raise SiteError("The site's answer cannot be read", f"libvirt sent XML that is not well-formed: {error}.") from error
