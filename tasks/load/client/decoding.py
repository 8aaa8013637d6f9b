"""Content encodings undone within bounds: a small answer may be packed to become gigabytes."""

from __future__ import annotations

from typing import Any, Final, Protocol

import httpx

from tasks.load.wire.http import BODY_LIMIT

_PIECE: Final = 16 * 1024
_EXPANSION: Final = 1024
"""How much gzip and deflate can grow at most, 1,032 times to be exact: what a piece becomes stays near the bound."""
_MOST_CODINGS: Final = 2


class Decoder(Protocol):
    """httpx's decoders."""

    def decode(self, data: bytes) -> bytes:
        """A part of the content, decoded."""

    def flush(self) -> bytes:
        """What is left."""


class BoundedDecoder:
    """Another decoder that is fed by pieces; `httpx.DecodingError` once `BODY_LIMIT` is passed.

    `codings` is how many encodings lie over each other: the pieces become smaller with each.
    """

    def __init__(self, inner: Decoder, codings: int) -> None:
        if codings > _MOST_CODINGS:
            raise httpx.DecodingError(f"the content is encoded {codings} times, {_MOST_CODINGS} at most are undone")
        self._inner = inner
        self._piece = _PIECE // _EXPANSION ** max(0, codings - 1)
        self._left = BODY_LIMIT

    def decode(self, data: bytes) -> bytes:
        """See `Decoder`."""
        parts = (self._inner.decode(data[at : at + self._piece]) for at in range(0, len(data), self._piece))
        return b"".join(map(self._counted, parts))

    def flush(self) -> bytes:
        """See `Decoder`."""
        return self._counted(self._inner.flush())

    def _counted(self, part: bytes) -> bytes:
        self._left -= len(part)
        if self._left < 0:
            raise httpx.DecodingError(f"the content is larger than {BODY_LIMIT >> 20} MiB once it is decoded")
        return part


class BoundedResponse(httpx.Response):
    """An answer whose content is decoded within bounds."""

    def _get_content_decoder(self) -> Any:
        codings = [one for one in self.headers.get_list("content-encoding", split_commas=True) if one.strip()]
        if not hasattr(self, "_bounded"):
            self._bounded = BoundedDecoder(super()._get_content_decoder(), len(codings))
        return self._bounded
