"""A service of plain answers, for what neither moto nor the lab has."""

from collections.abc import Callable, Mapping
from typing import Any

from botocore.exceptions import ClientError

from pragmaspec.clock import Clock
from pragmaspec.providers.ec2.capabilities import Capabilities, CapabilityName
from pragmaspec.providers.ec2.client import Answer, Ec2Client
from pragmaspec.providers.ec2.service import Service
from pragmaspec.providers.ec2.settings import Ec2Settings

Answers = Mapping[str, Answer | Callable[..., Answer]]


class AnsweringClient(Ec2Client):
    """Answers each operation with a fixed value, or with that of a function of its parameters."""

    def __init__(self, settings: Ec2Settings, answers: Answers, clock: Clock | None = None) -> None:
        super().__init__(settings, clock)
        self._answers = answers
        self.calls: list[tuple[str, Mapping[str, Any]]] = []

    @property
    def is_aws(self) -> bool:
        return True

    def call(self, operation: str, *, service: str = "ec2", repeatable: bool | None = None, **parameters: Any) -> Answer:
        self.calls.append((operation, parameters))
        answer = self._answers[operation]
        return answer(**parameters) if callable(answer) else answer


class Having(Capabilities):
    """Exactly these capabilities, without a probe."""

    def __init__(self, client: Ec2Client, *names: CapabilityName) -> None:
        super().__init__(client)
        self._names = names

    def has(self, name: CapabilityName) -> bool:
        return name in self._names


def service_of(answers: Answers, *names: CapabilityName, clock: Clock | None = None, **settings: Any) -> Service:
    """Return a service with these answers and capabilities."""
    options = Ec2Settings(**settings)
    client = AnsweringClient(options, answers, clock)
    return Service("lab", client, options, Having(client, *names))


def refused(code: str, operation: str = "RunInstances", status: int = 400) -> ClientError:
    """Return the error of a service that refuses a call."""
    response = {"Error": {"Code": code, "Message": "No."}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(response, operation)
