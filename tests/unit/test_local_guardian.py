"""What the owner's side of the guardian says of logs and ports."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from deployments.hosting.guardian import Guardian, Service, free_port, last_line
from storage.errors import LocalPlatformError


def test_the_last_line_that_says_something_is_quoted_without_credentials(tmp_path: Path) -> None:
    log = tmp_path / "service.log"
    log.write_text("starting\nno connection to postgresql://app:canary-secret@127.0.0.1:5/x\n\n  \n")
    assert last_line(log) == "no connection to postgresql://***@127.0.0.1:5/x"


def test_an_empty_or_missing_log_is_said_to_be_empty(tmp_path: Path) -> None:
    assert last_line(tmp_path / "missing.log") == "it wrote nothing"


def test_only_the_end_of_a_long_line_is_quoted(tmp_path: Path) -> None:
    log = tmp_path / "service.log"
    log.write_text("x" * 100_000)
    assert len(last_line(log)) == 500


def test_a_free_port_can_be_bound() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", free_port()))


def test_a_guardian_that_was_not_entered_says_so(tmp_path: Path) -> None:
    with pytest.raises(LocalPlatformError, match="starts on entering its context"):
        Guardian(tmp_path).start(Service("sleep", ("sleep", "1"), cwd=tmp_path))
