"""How the emulator refuses: the error codes of AWS, with their HTTP status."""

from __future__ import annotations

from typing import Any


class AwsError(Exception):
    """A refusal as AWS words it; `members` are further members of the error's shape."""

    def __init__(self, code: str, message: str, *, status: int = 400, members: dict[str, Any] | None = None) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.status = status
        self.members = members or {}


def invalid(message: str) -> AwsError:
    """A parameter that CloudWatch Logs does not take."""
    return AwsError("InvalidParameterException", message)


def validation(message: str) -> AwsError:
    """A parameter that CloudWatch does not take."""
    return AwsError("ValidationError", message)


def too_many(name: str, limit: int) -> AwsError:
    """A list of Logs that is longer than its limit, in the service's own wording."""
    return invalid(
        f"1 validation error detected: Value at '{name}' failed to satisfy constraint: "
        f"Member must have length less than or equal to {limit}"
    )
