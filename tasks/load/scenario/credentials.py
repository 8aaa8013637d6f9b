"""How requests of a scenario are signed: AWS Signature Version 4. Bearer tokens are headers, cookies the client's.

Secrets come with the plan over the worker's standard input; they are in no file, argument, log or message.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from typing import Any

import botocore.session
import httpx
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.exceptions import BotoCoreError

from storage.errors import NotMeasuredError

_SIGNED = ("host", "content-type")
_ADDED = ("Authorization", "X-Amz-Date", "X-Amz-Security-Token", "X-Amz-Content-SHA256")


@dataclass(frozen=True)
class AwsKeys:
    """Credentials of AWS as they are at the start of a load; temporary ones must outlast it."""

    access_key: str = field(repr=False)
    secret_key: str = field(repr=False)
    token: str | None = field(default=None, repr=False)

    @classmethod
    def found(cls) -> AwsKeys:
        """What boto3's chain finds (variables, profile, role); `NotMeasuredError` where it finds nothing."""
        try:
            credentials = botocore.session.get_session().get_credentials()
            frozen = None if credentials is None else credentials.get_frozen_credentials()
        except BotoCoreError as error:
            raise NotMeasuredError(f"no AWS credentials to sign requests with: {error}") from None
        if frozen is None or not frozen.access_key or not frozen.secret_key:
            raise NotMeasuredError(
                "no AWS credentials to sign requests with: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, "
                "or AWS_PROFILE"
            )
        return cls(frozen.access_key, frozen.secret_key, frozen.token)

    def to_json(self) -> dict[str, Any]:
        """As it goes to the worker."""
        return {"access_key": self.access_key, "secret_key": self.secret_key, "token": self.token}


class SigV4(httpx.Auth):
    """Signs each request, its body included, by botocore's own code: `service` is `execute-api` for API Gateway.

    Only Host, Content-Type and the headers of the signature itself are signed, since a proxy may change others.
    """

    requires_request_body = True

    def __init__(self, keys: AwsKeys, *, service: str, region: str) -> None:
        credentials = Credentials(keys.access_key, keys.secret_key, keys.token)
        self._signer = SigV4Auth(credentials, service, region)

    @classmethod
    def from_plan(cls, plan: Mapping[str, Any]) -> SigV4:
        """As the plan of a load describes it."""
        return cls(AwsKeys(**plan["keys"]), service=plan["service"], region=plan["region"])

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """See `httpx.Auth.auth_flow`."""
        for name in _ADDED:
            request.headers.pop(name, None)
        headers = {name: request.headers[name] for name in _SIGNED if name in request.headers}
        signed = AWSRequest(request.method, str(request.url), headers=headers, data=request.content)
        self._signer.add_auth(signed)
        for name in _ADDED:
            if name in signed.headers:
                request.headers[name] = signed.headers[name]
        yield request
