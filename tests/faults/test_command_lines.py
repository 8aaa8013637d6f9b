"""Wrong command lines: each ends with exit code 2, one line that names what is wrong, quickly and without Prefect."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
CPU_S = 2.0
"""Of a command itself; the import of the command line comes once to it."""

HERE = "http://127.0.0.1:9/"
WRONG: dict[str, str] = {
    "fly": "fly",
    "--fly": "--fly",
    "run": "profile",
    "run qa": "qa",
    "run development staging": "staging",
    "run development --users": "--users",
    "run development --users many": "many",
    "run development --users 0": "load.users",
    "run development --users -5": "users",
    "run development --users 1e99": "users",
    "run development --duration never": "never",
    "run development --duration 0": "load.duration_s",
    "run development --duration nan": "load.duration_s",
    "run development --duration inf": "load.duration_s",
    "run development --ramp-up -1": "ramp",
    "run development --ramp-up 100000": "ramp_up_s",
    "run development --sets x": "--sets",
    "run development --set x": "field=value",
    "run development --set =5": "=5",
    "run development --set nothing.at.all=5": "nothing.at.all",
    "run development --set load=5": "load",
    "run development --set api.endpoints=[]": "api.endpoints",
    "run development --set api.timeout_s=-1": "api.timeout_s",
    "run development --set load.model=chaos": "load.model",
    "run development --set load.day=nowhere": "nowhere",
    "run development --set load.search=5": "load.search",
    "run development --set scale.runner=moon": "scale.runner",
    "run development --set scale.shards=0": "scale.shards",
    "run development --set guard.excess=perhaps": "guard.excess",
    "run development --set cache.write_share=2": "cache.write_share",
    "run development --set lambda_functions.days=900": "lambda_functions.days",
    "run development --set history.closed=['tomorrow']": "history",
    "run development --set retention.keep_runs=0": "retention.keep_runs",
    "run development --components disk": "disk",
    "run development --components": "--components",
    "run quick --local --output nowhere://x": "nowhere://",
    "run development --output": "--output",
    "run development --json=maybe": "maybe",
    "run staging": "STAGING_API_URL",
    "run production --components database": "PRODUCTION_DATABASE_URL",
    "run production --components cache --set guard.allow=5": "guard.allow",
    "api qa": "qa",
    "lambda staging": "AWS_REGION",
    "database staging": "STAGING_DATABASE_URL",
    "again": "RUN",
    "again no-such-run api": "no-such-run",
    "report no-such-run": "no-such-run",
    "report ../../etc/passwd": "etc",
    "report --limits yesterday": "yesterday",
    "gate ../etc": "etc",
    "gate latest": "no run",
    "gate --profile": "--profile",
    "compare no-such-run": "no-such-run",
    "whatif no-such-run --do all": "no-such-run",
    "whatif --metric": "--metric",
    "history": "METRIC",
    "history no.such.metric": "no run",
    "history api.latency.p95 --since tomorrow": "tomorrow",
    "history api.latency.p95 --last some": "some",
    "baseline unset": "unset",
    "baseline set": "--name",
    "baseline set pinned no-such-run": "no-such-run",
    "applied no-such-run": "no-such-run",
    "load": "URL",
    "load ftp://127.0.0.1/": "http",
    f"load {HERE} --rate 0": "rate",
    f"load {HERE} --rate 5 --connections 5": "connections",
    f"load {HERE} --duration -1": "duration",
    f"load {HERE} --header nonsense": "header",
    f"load {HERE} --body @no-such-file": "no-such-file",
    f"load {HERE} --jitter wild": "wild",
    f"load {HERE} --shards 0": "shards",
    f"load {HERE} --expect ok": "ok",
    "advise": "--dsn",
    "advise --dsn nonsense": "--dsn",
    "advise --dsn mysql://127.0.0.1/x": "--dsn",
    "advise --dsn postgresql://127.0.0.1:1/x --rehearse perhaps": "perhaps",
    "advise --dsn postgresql://127.0.0.1:1/x --workload no-such-file": "no-such-file",
    "optimize": "--plan",
    "optimize qa --plan x": "qa",
    "optimize development --plan no-such-file": "no-such-file",
    "optimize --functions no-such-run": "no-such-run",
    "watch": "--dsn",
    "watch qa": "qa",
    "watch development --components": "--components",
    "watch development --dsn postgresql://127.0.0.1/x": "--dsn",
    "watch development --duration 0": "--duration",
    "watch staging --prefect": "PREFECT_API_URL",
    "watch staging --notify": "HASIVU_NOTIFY",
    "watch --dsn nonsense": "--dsn",
    "monitoring qa": "qa",
    "doctor qa": "qa",
    "calibration qa": "qa",
    "retention qa": "qa",
    "local sideways": "sideways",
    "serve --port high": "high",
    "release": "TAG",
    "release v1 --timeout soon": "soon",
    "run development --release a\udcffb": "not UTF-8",
    "run development --output /tmp/\udcff": "not UTF-8",
    "report \ud800": "not UTF-8",
}


def test_every_wrong_command_line_says_what_is_wrong_at_once() -> None:
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("DEVELOPMENT_", "STAGING_", "PRODUCTION_", "PREFECT_", "AWS_", "HASIVU_"))
    }
    done = subprocess.run(
        [sys.executable, "-m", "tests.faults.forked_commands"],
        input=json.dumps([line.split() for line in WRONG]),
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=kept,
        timeout=300,
        check=False,
    )
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(answers) == len(WRONG) >= 60, done.stderr[-2000:]
    wrong = {}
    for (line, word), answer in zip(WRONG.items(), answers, strict=True):
        problems = [
            f"exit code {answer['code']}" if answer["code"] != 2 else "",
            "" if word.lower() in answer["err"].lower() else f"{word!r} is not named",
            "a traceback" if "Traceback" in answer["err"] or "internal error" in answer["err"] else "",
            f"imported {answer['heavy']}" if answer["heavy"] else "",
            f"took {answer['cpu_s']:.1f} s of CPU" if answer["cpu_s"] > CPU_S else "",
            "said something on standard output" if answer["out"] else "",
            f"left {answer['left']}" if answer["left"] else "",
        ]
        if any(problems):
            wrong[line] = f"{'; '.join(filter(None, problems))}: {answer['err'][:200]}"
    assert wrong == {}
