"""What those who do actions tell the one who records them."""

from typing import NamedTuple

from pragmaspec.planning.plan import Action
from pragmaspec.resources import Outputs
from pragmaspec.state_model import Record


class Cancelled(Exception):  # noqa: N818 - not an error: the run was told to stop
    """The waiting for a guest was cut off."""


class Job(NamedTuple):
    """An action to do. ``earlier``: the record that its address had before; ``begun``: the one since its intent was recorded."""

    action: Action
    earlier: Record | None
    begun: Record | None


class CreatedNode(NamedTuple):
    """The site has made the machine of a boot. ``held``: it does not run before it is released."""

    record: Record
    held: bool


class Progress(NamedTuple):
    """What an action is busy with."""

    action: Action
    doing: str


class Created(NamedTuple):
    """The site has made the object; its guest is waited for."""

    action: Action
    outputs: Outputs


class ActionResult(NamedTuple):
    """An action has ended: with ``record`` to keep (None: nothing is left) and no error, or with an error.

    An error with a record means that the object is there, but not as it should be.
    """

    action: Action
    record: Record | None
    error: BaseException | None = None


Message = Progress | Created | ActionResult
