"""Messages from worker threads to the apply loop."""

from typing import NamedTuple

from pragmaspec.errors import PragmaspecError
from pragmaspec.planning.observed import Observations
from pragmaspec.planning.plan import Action
from pragmaspec.resources import Outputs
from pragmaspec.state_model import Record

ObserveResult = Observations | PragmaspecError
"""The objects of this stack at a site, or the reason why they could not be listed."""


class Cancelled(Exception):  # noqa: N818 - not an error: the run was told to stop
    """Raised in a worker thread to end a wait, because the run stops."""


class Job(NamedTuple):
    """An action to execute.

    ``earlier``: the record of its address before the action; ``begun``: the one since the intent was recorded.
    """

    action: Action
    earlier: Record | None
    begun: Record | None


class CreatedNode(NamedTuple):
    """A node that the site has created. ``paused``: it does not run before it is resumed."""

    record: Record
    paused: bool


class Progress(NamedTuple):
    """The current activity of an action, in a few words."""

    action: Action
    activity: str


class Created(NamedTuple):
    """The site has created the node of an action; its guest is not ready yet."""

    action: Action
    outputs: Outputs


class ActionResult(NamedTuple):
    """The end of an action: the ``record`` to keep (None: the resource is gone), or an error.

    An error with a record means that the resource exists but is degraded.
    """

    action: Action
    record: Record | None
    error: BaseException | None = None


Message = Progress | Created | ActionResult
