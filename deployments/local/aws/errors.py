"""How the emulator refuses: the error codes of AWS, with their HTTP status."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from xml.sax.saxutils import escape


class AwsError(Exception):
    """A refusal as AWS words it; `members` are further members of the error's shape."""

    def __init__(self, code: str, message: str, *, status: int = 400, members: dict[str, Any] | None = None) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.status = status
        self.members = members or {}


class QueryError(Exception):
    """A refusal by a service of the query protocol (IAM), which speaks XML."""

    def __init__(self, refusal: AwsError) -> None:
        super().__init__(str(refusal))
        self.refusal = refusal

    def xml(self, request_id: str) -> str:
        """The body: https://docs.aws.amazon.com/IAM/latest/APIReference/CommonErrors.html."""
        code = self.refusal.code.removesuffix("Exception")
        return (
            f"<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code><Message>{escape(self.refusal.message)}"
            f"</Message></Error><RequestId>{request_id}</RequestId></ErrorResponse>"
        )


@contextmanager
def in_xml() -> Iterator[None]:
    """Refusals within it are those of the query protocol."""
    try:
        yield
    except AwsError as error:
        raise QueryError(error) from None


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
