"""Arrow's threads may end after the program: what they read must not be memory of Python (apache/arrow#34314)."""

from __future__ import annotations

import io
import sys

import pyarrow as pa
import pyarrow.parquet as pq

from storage.parquet import in_arrow


def test_arrow_holds_no_memory_of_python() -> None:
    table = pa.table({"metric": ["api.latency.p95", "api.latency.p99"], "value": [120.0, 340.0]})
    sink = io.BytesIO()
    pq.write_table(table, sink)
    content = sink.getvalue()
    before = sys.getrefcount(content)
    source = in_arrow(content)
    assert sys.getrefcount(content) == before
    assert pq.read_table(source).equals(table)
