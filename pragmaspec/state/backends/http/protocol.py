"""What the answers of a server mean that keeps states in Terraform's protocol."""

from pragmaspec.errors import PragmaspecError, StateUnreachableError
from pragmaspec.state.backends.document import StateDocument, decode_document
from pragmaspec.state.backends.http.client import HttpClient, HttpResponse, NoResponse
from pragmaspec.state.backends.http.config import HttpConfig

OK, CREATED, NO_CONTENT, NOT_MODIFIED = 200, 201, 204, 304
NOT_FOUND = 404
DENIED = frozenset({401, 403})
CONFLICTS = frozenset({409, 412, 423})
"""The lock, or the document, is not what the request said."""
UNPROCESSABLE = 422
"""GitLab's word for a serial that it has already."""


def fetch_document(wire: HttpClient, place: HttpConfig) -> tuple[StateDocument | None, HttpResponse]:
    """The document that stands there, if any, and the answer with it. Raises StateUnreachableError and StateUnreadableError."""
    try:
        answer = wire.insist("GET", place.address)
    except NoResponse as error:
        raise no_response_error(place.title, error) from None
    if answer.status == OK and answer.body:
        return decode_document(answer.body, place.title), answer
    if answer.status in {OK, NO_CONTENT} or (answer.status == NOT_FOUND and not _hidden(answer)):
        return None, answer
    raise refused_error(place.title, answer)


def unlock(wire: HttpClient, place: HttpConfig, body: bytes) -> HttpResponse | None:
    """Give the lock back. Never raises; None: how it ended is not known."""
    try:
        return wire.insist(place.unlock_method, place.unlock_address, body)
    except (NoResponse, PragmaspecError):
        return None


def status_text(answer: HttpResponse) -> str:
    """What the server said, in a few words fit for a terminal."""
    words = "".join(letter for letter in answer.reason if letter.isprintable())
    moved = f" and points to {answer.location}" if answer.location else ""
    return f"{answer.status} {words}".strip() + moved


def refused_error(title: str, answer: HttpResponse) -> StateUnreachableError:
    """The error for an answer that is a no."""
    if answer.status in DENIED or answer.status == NOT_FOUND:
        advice = (
            "Check the credentials: PRAGMASPEC_HTTP_USERNAME and PRAGMASPEC_HTTP_PASSWORD, PRAGMASPEC_HTTP_TOKEN, or ~/.netrc. "
            "In GitLab, reading needs the role Developer, changing the role Maintainer."
        )
    elif answer.location:
        advice = "Redirects are not followed, since they could lead credentials astray: write the new address into the spec."
    else:
        advice = "Try again later, or ask who runs the server."
    return StateUnreachableError("The state cannot be reached", f"{title}: the server said {status_text(answer)}. {advice}")


def no_response_error(title: str, error: NoResponse) -> StateUnreachableError:
    """The error for a server that does not answer."""
    return StateUnreachableError(
        "The state cannot be reached",
        f"{title}: no answer ({error}). Check the network and the address, then run the command again.",
    )


def _hidden(answer: HttpResponse) -> bool:
    """Whether "not found" means the project: GitLab says so to those who may not see it, and that is not an absent state."""
    return b"project not found" in answer.body[:1000].lower()
