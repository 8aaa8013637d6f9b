"""`hasivu-perf local up|down`: hold the embedded platform outside of a run."""

from __future__ import annotations
