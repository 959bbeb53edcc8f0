"""Where a file can be had: something that is turned into an HTTP request anew before every try, because signatures run out."""

from typing import TYPE_CHECKING, Literal, Protocol

from pragmaspec.frozen import Frozen

if TYPE_CHECKING:
    from pragmaspec.images.web import Web


class Ask(Frozen, frozen=True):
    """One request. ``headers`` may be secret: they are shown to the server of ``url`` only, and to none it redirects to.

    ``condition`` is the header by which this kind of server continues only the file that was begun (RFC 9110, section 13.1).
    """

    url: str
    headers: tuple[tuple[str, str], ...] = ()
    condition: Literal["If-Range", "If-Match"] = "If-Range"


class Address(Protocol):
    """A file somewhere on the network. A plain value that holds no secret."""

    def shown(self) -> str:
        """For people, and the same for the same file every time; without credentials."""
        ...

    def ask(self, web: "Web") -> Ask:
        """The request for the file, valid now. May itself ask the server first. Raises ImageError and BrokenOffError."""
        ...
