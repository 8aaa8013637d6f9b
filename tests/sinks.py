"""Where a component's raw tables go while a test collects: memory."""

from __future__ import annotations

import pyarrow as pa


class Sink(dict[str, pa.Table]):
    """The tables by name; each is written once."""

    def write(self, name: str, table: pa.Table) -> None:
        """Keep one table."""
        assert name not in self
        self[name] = table
