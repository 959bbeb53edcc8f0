"""The meaning of the responses in Terraform's HTTP protocol for states."""

from pragmaspec.errors import PragmaspecError, StateUnreachableError
from pragmaspec.state.backends.document import StateDocument, decode_document
from pragmaspec.state.backends.http.client import HttpResponse, NoResponse, StateHttpClient
from pragmaspec.state.backends.http.config import HttpConfig

OK, CREATED, NO_CONTENT, NOT_MODIFIED = 200, 201, 204, 304
NOT_FOUND = 404
DENIED = frozenset({401, 403})
CONFLICTS = frozenset({409, 412, 423})
"""The lock or the document is not the one that the request names."""
UNPROCESSABLE = 422
"""GitLab's response to a serial that it has already."""


def fetch_document(client: StateHttpClient, config: HttpConfig) -> tuple[StateDocument | None, HttpResponse]:
    """Return the current document, if any, and the response that contained it.

    As in Terraform, 204, 404 and an empty body mean that there is none. Raises StateUnreachableError and StateUnreadableError.
    """
    try:
        response = client.send_with_retries("GET", config.address)
    except NoResponse as error:
        raise no_response_error(config.title, error) from None
    if response.status == OK and response.body:
        return decode_document(response.body, config.title), response
    if response.status in {OK, NO_CONTENT} or (response.status == NOT_FOUND and not _is_project_hidden(response)):
        return None, response
    raise refused_error(config.title, response)


def unlock(client: StateHttpClient, config: HttpConfig, body: bytes) -> HttpResponse | None:
    """Release the lock. Never raises; returns None if the outcome is unknown."""
    try:
        return client.send_with_retries(config.unlock_method, config.unlock_address, body)
    except (NoResponse, PragmaspecError):
        return None


def status_text(response: HttpResponse) -> str:
    """Return status, reason and redirect target of ``response``, fit for a terminal."""
    reason = "".join(letter for letter in response.reason if letter.isprintable())
    redirect = f" and redirects to {response.location}" if response.location else ""
    return f"{response.status} {reason}".strip() + redirect


def refused_error(title: str, response: HttpResponse) -> StateUnreachableError:
    """Return the error for a response that refuses the request."""
    if response.status in DENIED or response.status == NOT_FOUND:
        advice = (
            "Check the credentials: PRAGMASPEC_HTTP_USERNAME and PRAGMASPEC_HTTP_PASSWORD, PRAGMASPEC_HTTP_TOKEN, or ~/.netrc. "
            "In GitLab, reading requires the role Developer, writing the role Maintainer."
        )
    elif response.location:
        advice = "Redirects are not followed, because they could divert the credentials: write the new address into the spec."
    else:
        advice = "Try again later, or ask the administrator of the server."
    return StateUnreachableError(
        "The state cannot be reached", f"{title}: the server responded {status_text(response)}. {advice}"
    )


def no_response_error(title: str, error: NoResponse) -> StateUnreachableError:
    """Return the error for a server that does not respond."""
    return StateUnreachableError(
        "The state cannot be reached",
        f"{title}: no response ({error}). Check the network and the address, then repeat the command.",
    )


def _is_project_hidden(response: HttpResponse) -> bool:
    """True if GitLab cannot find the project, its response to a user without access; the state may exist."""
    return b"project not found" in response.body[:1000].lower()
