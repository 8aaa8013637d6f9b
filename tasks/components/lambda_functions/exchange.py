"""One exchange with AWS, bounded: a total time limit, and a limit on the answer's size.

The time-outs of boto3 hold for each read, so a peer that trickles, or a name server that says nothing, keeps it busy
for ever; and it reads an answer of any size into memory. Here the exchange happens in a thread that is left alone
where it takes too long.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from botocore.exceptions import ConnectionClosedError, ReadTimeoutError
from urllib3.exceptions import HTTPError

from storage.errors import NotMeasuredError
from tasks.within import GivenUp, TookTooLongError, within

MOST_BYTES = 8 << 20
"""More than any answer that is asked for here may have: Lambda and CloudWatch Logs end at 6 and 1 MB."""

_PIECE = 1 << 16


class _Body:
    """What botocore reads an answer's content from."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    def stream(self, **_: Any) -> Iterator[bytes]:
        yield self._content


def exchange(session: Any, request: AWSPreparedRequest, seconds: float) -> AWSResponse:
    """Send a request by botocore's own HTTP session; its whole answer.

    Raises botocore's `ReadTimeoutError` where that takes longer, so that it is tried again as botocore does, and
    `NotMeasuredError` where the answer is too long.
    """
    try:
        return within(seconds, lambda given_up: _sent(session, request, given_up), name="aws-exchange")
    except TookTooLongError:
        raise ReadTimeoutError(endpoint_url=request.url) from None


def _sent(session: Any, request: AWSPreparedRequest, given_up: GivenUp) -> AWSResponse:
    request.stream_output = True
    answer = session.send(request)
    content = bytearray()
    try:
        for piece in answer.raw.stream(_PIECE):
            content += piece
            if len(content) > MOST_BYTES or given_up():
                answer.raw.close()
                break
    except HTTPError as error:
        raise ConnectionClosedError(endpoint_url=request.url, error=error) from error
    if len(content) > MOST_BYTES:
        raise NotMeasuredError(
            f"an answer of AWS is longer than {MOST_BYTES >> 20} MB; check AWS_ENDPOINT_URL and what stands between"
        )
    length = answer.headers.get("Content-Length", "")
    if length.isdigit() and len(content) < int(length):  # which botocore does not notice
        raise ConnectionClosedError(endpoint_url=request.url)
    return AWSResponse(answer.url, answer.status_code, answer.headers, _Body(bytes(content)))
