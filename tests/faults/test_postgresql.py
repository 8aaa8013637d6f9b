"""A PostgreSQL whose network breaks at every place: the component ends on time, with a word or with figures."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from deployments.config import IndexAdviceSettings, ReadStatement, RunConfig, Target, build_config
from tasks.components.database import DATABASE
from tests.databases import database
from tests.faults.outcome import judge, outcome, wrong
from tests.faults.proxy import FAULTS, proxy

LIMIT_S = 2 + 15
SURVIVED = {"one-byte-at-a-time", "slow-by-50-ms"}


def config() -> RunConfig:
    built = build_config("development", overrides={"duration_s": "2", "ramp_up_s": "0"})
    settings: dict[str, Any] = {
        "statements": (ReadStatement(name="one", sql="SELECT 1"),),
        "values": {},
        "application": None,
        "pool_size": None,
        "advice": IndexAdviceSettings(enabled=False),
    }
    changed = built.environment.database.model_copy(update=settings)
    return built.model_copy(update={"environment": built.environment.model_copy(update={"database": changed})})


def test_what_a_network_does_ends_in_a_word_or_in_figures(tmp_path: Path) -> None:
    with database(tmp_path) as base:
        base.run("CREATE EXTENSION pg_stat_statements")
        port = int(re.search(r":(\d+)/", base.admin)[1])  # type: ignore[index] # a URL with a port

        def one(way: str) -> str:
            with proxy(port, FAULTS[way]) as before:
                url = base.admin.replace(f":{port}/", f":{before.port}/")
                found = outcome(DATABASE, config(), Target(database_url=SecretStr(url), local=True))
            measured = bool(not found.refused)
            survived = way in SURVIVED or way.endswith("-4k")  # what was read by then may be enough for a part
            return judge(found, LIMIT_S) or ("measured" if measured and not survived else "")

        assert wrong(FAULTS, one) == {}
