"""What S3 answers, as one line that names the object, what is wrong and the remedy; never with a secret.

Only the code of an answer is shown: its text may hold an access key.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    CredentialRetrievalError,
    HTTPClientError,
    NoCredentialsError,
    PartialCredentialsError,
    ProfileNotFound,
    SSOError,
)
from botocore.exceptions import ConnectionError as BotoConnectionError

from storage.errors import StorageError, UsageError

_USERINFO = re.compile(r"://[^/\s]*@")
_NO_CREDENTIALS = (NoCredentialsError, PartialCredentialsError, CredentialRetrievalError, ProfileNotFound, SSOError)
_DENIED = frozenset({"AccessDenied", "403", "Forbidden", "AllAccessDisabled"})
_BAD_CREDENTIALS = frozenset(
    {"InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken", "TokenRefreshRequired"}
)
_ELSEWHERE = frozenset(
    {"PermanentRedirect", "301", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException"}
)


@contextmanager
def told(right: str, path: str, client: Any) -> Iterator[None]:
    """Errors of the block as `StorageError`, and an object that is not there as `FileNotFoundError`.

    `right` is what an IAM policy must allow for it, `path` what is read or written.
    """
    try:
        yield
    except ClientError as error:
        code = str(error.response.get("Error", {}).get("Code", "unknown"))
        if code == "NoSuchKey":
            raise FileNotFoundError(path) from None
        raise refused(code, right, path) from None
    except _NO_CREDENTIALS as error:
        raise _without_credentials(path, error) from None
    except (HTTPClientError, BotoConnectionError) as error:
        raise StorageError(
            f"{path}: {_masked(client.meta.endpoint_url)} does not answer ({type(error).__name__}); check AWS_REGION,"
            " AWS_ENDPOINT_URL_S3 and the network"
        ) from None
    except BotoCoreError as error:
        raise StorageError(f"{path}: {right} failed: {_line(error)}") from None


def refused(code: str, right: str, path: str) -> StorageError:
    """What an error code of S3 means for a person."""
    if code == "NoSuchBucket":
        return StorageError(f"{path}: no such bucket; create it, or correct --output and AWS_ENDPOINT_URL_S3")
    if code in _DENIED:
        return StorageError(f"{path}: {right} is denied; allow it in the policy (docs/storage.md)")
    if code in _BAD_CREDENTIALS:
        return StorageError(f"{path}: the credentials are refused ({code}); check AWS_ACCESS_KEY_ID, or AWS_PROFILE")
    if code in _ELSEWHERE:
        return StorageError(f"{path}: the bucket lies in another region ({code}); set AWS_REGION to it")
    return StorageError(f"{path}: {right} was answered by {code}; try again, or check AWS_ENDPOINT_URL_S3")


def _without_credentials(path: str, error: BotoCoreError) -> StorageError:
    return StorageError(f"{path}: {_line(error)}; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE")


def unusable(bucket: str, error: Exception) -> UsageError:
    """Why no client could be made for a bucket: a wrong region, address or profile."""
    return UsageError(f"output s3://{bucket}: {_line(error)}; check AWS_REGION, AWS_ENDPOINT_URL_S3 and AWS_PROFILE")


def _line(error: Exception) -> str:
    return _masked(" ".join(str(error).split()))


def _masked(text: str) -> str:
    return _USERINFO.sub("://***@", text)
