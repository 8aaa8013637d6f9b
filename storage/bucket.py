"""An S3 bucket as a place for whole files, by boto3 alone: one chain of credentials, one endpoint, one set of limits.

A PUT is whole by itself; `create` is a conditional PUT (`If-None-Match: *`). The address is Amazon's, or what
AWS_ENDPOINT_URL_S3 or else AWS_ENDPOINT_URL says; the region is AWS_REGION's; credentials come by boto3's chain.
"""

from __future__ import annotations

import os
import random
import secrets
import time
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import PurePosixPath
from typing import Any, TypeVar

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, ConnectionClosedError

from storage.bucket_errors import refused, told, unusable
from storage.errors import StorageError
from storage.place import PlacedFile

CONNECT_TIMEOUT_S = 5
READ_TIMEOUT_S = 20
ATTEMPTS = 3

T = TypeVar("T")

_TAKEN = "PreconditionFailed"
_BUSY = "ConditionalRequestConflict"
_CLAIM = "hasivu-claim"
_THROTTLED = ("SlowDown", "ServiceUnavailable", "InternalError", "503", "RequestTimeout")
_PAUSES_S = (0.2, 0.4, 0.8, 1.6, 3.2)
"""After the client's own attempts: a bucket that is busy for some seconds must not cost a run."""

_MOST_REMOVED = 1000
"""How many objects one request may remove."""


_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".md": "text/markdown; charset=utf-8",
    ".json": "application/json",
    ".xml": "application/xml",
    ".pdf": "application/pdf",
    ".parquet": "application/vnd.apache.parquet",
}


def content_type(name: str) -> str:
    """What a browser is told of a file: pages that are served from the bucket are shown, not downloaded."""
    return _TYPES.get(PurePosixPath(name).suffix, "application/octet-stream")


@cache
def client(bucket: str) -> Any:
    """The client for a bucket; how it is reached is decided at its first use in this process.

    The embedded platform sets AWS variables of its own later, and results must not go to its emulator.
    """
    config = Config(
        connect_timeout=CONNECT_TIMEOUT_S,
        read_timeout=READ_TIMEOUT_S,
        retries={"total_max_attempts": ATTEMPTS, "mode": "standard"},
        max_pool_connections=32,
    )
    try:
        return boto3.session.Session(region_name=os.environ.get("AWS_REGION")).client("s3", config=config)
    except (BotoCoreError, ValueError) as error:
        raise unusable(bucket, error) from None


class Bucket:
    """Files under a prefix of one bucket."""

    def __init__(self, bucket: str, prefix: str) -> None:
        self._bucket = bucket
        self._prefix = f"{prefix}/" if prefix else ""
        self._client = client(bucket)

    @property
    def shown(self) -> str:
        """The bucket and prefix, `s3://…`."""
        return f"s3://{self._bucket}/{self._prefix}".rstrip("/")

    def _at(self, name: str) -> dict[str, str]:
        return {"Bucket": self._bucket, "Key": f"{self._prefix}{name}"}

    def _path(self, name: str) -> str:
        return f"{self.shown}/{name}"

    def exists(self, name: str) -> bool:
        """Whether a file or folder of that name is there."""
        for prefix in (name, f"{name}/"):
            for page in self._pages(prefix, MaxKeys=1):
                first = page.get("Contents", [{"Key": ""}])[0]["Key"].removeprefix(self._prefix)
                if first == name or first.startswith(f"{name}/"):
                    return True
                break
        return False

    def names(self, folder: str) -> list[str]:
        """Names of what lies directly in a folder, sorted; empty where there is no such folder."""
        return sorted(set().union(*self._inside(folder)))

    def folders(self, folder: str) -> list[str]:
        """The same for folders alone."""
        return sorted(self._inside(folder)[0])

    def _inside(self, folder: str) -> tuple[set[str], set[str]]:
        """Names of the folders and of the files that lie directly in a folder."""
        prefix = f"{folder}/" if folder else ""
        start = len(self._prefix + prefix)
        folders, files = set(), set()
        for page in self._pages(prefix, Delimiter="/"):
            folders |= {row["Prefix"][start:-1] for row in page.get("CommonPrefixes", [])}
            files |= {row["Key"][start:] for row in page.get("Contents", [])}
        return folders - {""}, files - {""}  # some tools mark a folder by an empty object of its own name

    def files(self, folder: str) -> list[PlacedFile]:
        """Every file in a folder, at any depth, sorted by name."""
        prefix = f"{folder}/" if folder else ""
        rows = [row for page in self._pages(prefix) for row in page.get("Contents", [])]
        start = len(self._prefix)
        return sorted(
            (PlacedFile(row["Key"][start:], row["Size"], row["LastModified"]) for row in rows),
            key=lambda file: file.name,
        )

    def _pages(self, prefix: str, **more: Any) -> Iterator[dict[str, Any]]:
        with told("s3:ListBucket", self._path(prefix), self._client):
            paginator = self._client.get_paginator("list_objects_v2")
            yield from paginator.paginate(Bucket=self._bucket, Prefix=f"{self._prefix}{prefix}", **more)

    def read(self, name: str) -> bytes:
        """The content of a file; `FileNotFoundError` where it is missing."""
        with told("s3:GetObject", self._path(name), self._client):
            found = _patiently(lambda: self._client.get_object(**self._at(name)))
            content: bytes = found["Body"].read()
        return content

    def write(self, name: str, content: bytes) -> None:
        """Write a file whole, in place of one that is there."""
        with told("s3:PutObject", self._path(name), self._client):
            asked: dict[str, Any] = {**self._at(name), "Body": content, "ContentType": content_type(name)}
            _patiently(lambda: self._client.put_object(**asked))

    def create(self, name: str, content: bytes) -> bool:
        """Write a file where none is; False, and nothing written, where one is.

        Where the answer to a PUT is lost, its repetition meets its own object: that carries the claim's own number.
        """
        claim = secrets.token_hex(16)
        asked: dict[str, Any] = {**self._at(name), "Body": content, "ContentType": content_type(name)}
        asked |= {"IfNoneMatch": "*", "Metadata": {_CLAIM: claim}}
        with told("s3:PutObject", self._path(name), self._client):
            for _ in range(ATTEMPTS):
                try:
                    _patiently(lambda: self._client.put_object(**asked))
                except ClientError as error:
                    code = error.response["Error"]["Code"]
                    if code == _TAKEN:
                        return self._claim(name) == claim
                    if code != _BUSY:
                        raise
                    time.sleep(0.1)  # another writer's request to the same name is under way
                else:
                    return True
        raise StorageError(f"{self._path(name)} is being written by others; try again")

    def _claim(self, name: str) -> str:
        try:
            found = self._client.head_object(**self._at(name))
        except ClientError as error:
            if error.response["Error"]["Code"] == "404":
                return ""  # removed again in between: it was another's
            raise
        return str(found["Metadata"].get(_CLAIM, ""))

    def check_usable(self) -> None:
        """Raise `StorageError` where the bucket cannot be listed; whether it takes files shows when one is stored."""
        self.exists("probe")

    def remove(self, name: str) -> None:
        """Remove one file, if it is there; the right to delete is needed only then."""
        if not self.exists(name):
            return
        with told("s3:DeleteObject", self._path(name), self._client):
            self._client.delete_object(**self._at(name))

    def remove_folder(self, folder: str) -> None:
        """Remove all objects whose names begin with the folder's."""
        names = [file.name for file in self.files(folder)]
        for start in range(0, len(names), _MOST_REMOVED):
            batch = [{"Key": self._at(name)["Key"]} for name in names[start : start + _MOST_REMOVED]]
            with told("s3:DeleteObject", self._path(folder), self._client):
                answer = self._client.delete_objects(Bucket=self._bucket, Delete={"Objects": batch, "Quiet": True})
            for problem in answer.get("Errors", []):
                raise refused(problem["Code"], "s3:DeleteObject", self._path(folder))


def _patiently(ask: Callable[[], T]) -> T:
    """What a request answers; one that is throttled, or cut off, is made again after ever longer pauses."""
    for pause_s in _PAUSES_S:
        try:
            return ask()
        except ConnectionClosedError:  # the answer was lost, again and again
            time.sleep(pause_s)
        except ClientError as error:
            if error.response["Error"]["Code"] not in _THROTTLED:
                raise
            time.sleep(pause_s * random.uniform(0.5, 1.0))  # noqa: S311 - it keeps writers apart
    return ask()
