"""Tokens of paged answers: opaque to the caller, refused where they were not made for the same request."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from typing import Any


def fingerprint(request: Any) -> str:
    """A short digest of what a token belongs to."""
    return hashlib.sha256(json.dumps(request, sort_keys=True, default=str).encode()).hexdigest()[:16]


def issue(position: Any, request: Any) -> str:
    """The token that continues `request` at `position`."""
    body = json.dumps({"at": position, "of": fingerprint(request)}, separators=(",", ":"))
    return base64.urlsafe_b64encode(body.encode()).decode()


def redeem(token: str, request: Any) -> Any:
    """The position of `token`; ValueError where it is damaged or belongs to another request."""
    try:
        body = json.loads(base64.urlsafe_b64decode(token.encode()))
        position, owner = body["at"], body["of"]
    except (binascii.Error, UnicodeError, ValueError, KeyError, TypeError) as error:
        raise ValueError("damaged token") from error
    if owner != fingerprint(request):
        raise ValueError("token of another request")
    return position
