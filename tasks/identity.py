"""Asks the target which build it is, so that parts of a run can be told to belong together.

Four facts, none of them required: `release` (the build, as the API says it), `function_versions` (a hash over the
code of all functions), `schema_version` (a hash over tables, columns and indexes), `data_size` (bytes of the
database). A fact that cannot be read within its time is left out, and a note says why.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from hashlib import sha256

import httpx

from deployments.config import RunConfig, Target
from deployments.masking import mask, secrets_of
from storage.errors import HasivuError
from tasks.components.lambda_functions.account import Account
from tasks.load.client.client import Engine, LoadClient
from tasks.load.database.session import QueryError, Session, Watchdog, parse

SECONDS = 5.0
"""How long all of it may take."""

_MOST_BYTES = 64 * 1024
_SHORT, _LONGEST = 16, 100
_SCHEMA = """
    SELECT pg_database_size(current_database()) AS bytes,
           md5(coalesce(string_agg(line, E'\\n' ORDER BY line), '')) AS schema FROM (
        SELECT format('%s.%s.%s %s', n.nspname, c.relname, a.attname, format_type(a.atttypid, a.atttypmod)) AS line
        FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE c.relkind IN ('r', 'p') AND a.attnum > 0 AND NOT a.attisdropped
          AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
        UNION ALL
        SELECT pg_get_indexdef(i.indexrelid) FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid
        JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
    ) AS lines
"""

Identity = Mapping[str, str]
_Reader = Callable[[RunConfig, Target], dict[str, str]]


def identify(config: RunConfig, target: Target) -> tuple[dict[str, str], tuple[str, ...]]:
    """What the target says of itself, and a note for each fact that could not be read; takes `SECONDS` at most."""
    readers: dict[str, _Reader] = {"release": _release, "function_versions": _functions, "schema_version": _database}
    pool = ThreadPoolExecutor(len(readers), thread_name_prefix="identity")
    asked = {name: pool.submit(_read, reader, config, target) for name, reader in readers.items()}
    wait(asked.values(), timeout=SECONDS)
    pool.shutdown(wait=False, cancel_futures=True)  # each reader has limits of its own
    late: tuple[dict[str, str], str] = ({}, f"no answer within {SECONDS:g} s")
    answers = {name: future.result() if future.done() else late for name, future in asked.items()}
    facts = {key: value for found, _ in answers.values() for key, value in found.items()}
    notes = [f"{name.replace('_', ' ')} is not known: {why}" for name, (_, why) in answers.items() if why]
    return facts, tuple(notes)


def _read(reader: _Reader, config: RunConfig, target: Target) -> tuple[dict[str, str], str]:
    try:
        return reader(config, target), ""
    except (HasivuError, QueryError, httpx.HTTPError, OSError, ValueError) as error:
        return {}, mask(" ".join(str(error).split()) or type(error).__name__, secrets_of(target))


def _release(config: RunConfig, target: Target) -> dict[str, str]:
    """The build that the API names; redirects are not followed, so no other host is asked."""
    if target.api_url is None:
        return {}
    settings = config.environment.identity
    base = target.api_url.get_secret_value().rstrip("/")
    headers = {name: value.get_secret_value() for name, value in target.headers.items()}
    problems = []
    for path in settings.paths:
        try:
            return {"release": _field(_get(base + path, headers), settings.fields)}
        except ValueError as error:
            problems.append(f"GET {path} {error}")
    raise ValueError("; ".join(problems))


def _field(body: bytes, fields: Sequence[str]) -> str:
    answer = json.loads(body)
    given = answer if isinstance(answer, dict) else {}
    for field in fields:
        if isinstance(given.get(field), str | int):
            return str(given[field])[:_LONGEST].encode("utf-8", "replace").decode()
    raise ValueError(f"holds none of {', '.join(fields)}")


def _get(url: str, headers: Mapping[str, str]) -> bytes:
    """The body of an answer with status 200, at most so many bytes, within a total time and from this host alone."""
    return asyncio.run(_asked(url, headers))


async def _asked(url: str, headers: Mapping[str, str]) -> bytes:
    host = httpx.URL(url).raw_host.decode("ascii")
    engine = Engine(allow=[host], connections=1, timeout_s=SECONDS, connect_s=SECONDS)
    try:
        async with LoadClient(engine) as client:
            got = await client.get(url, headers=dict(headers))
    finally:
        engine.close()
    if got.status_code != httpx.codes.OK:
        raise ValueError(f"answered {got.status_code}")
    if len(got.content) > _MOST_BYTES:
        raise ValueError(f"answered more than {_MOST_BYTES >> 10} KiB")
    return got.content


def _functions(config: RunConfig, target: Target) -> dict[str, str]:
    """A hash over name and code of every function of the environment, where AWS is configured."""
    if not target.aws_region:
        return {}
    prefix = config.environment.lambda_functions.name_prefix
    account = Account(target, SECONDS, attempts=1)
    try:
        found = [
            f"{function['FunctionName']} {function.get('CodeSha256', '')}"
            for page in account.pages("lambda", "ListFunctions")
            for function in page["Functions"]
            if function["FunctionName"].startswith(prefix)
        ]
    finally:
        account.close()
    return {"function_versions": sha256("\n".join(sorted(found)).encode()).hexdigest()[:_SHORT]}


def _database(config: RunConfig, target: Target) -> dict[str, str]:
    """A hash over the schema, and the size of the data, in a read-only session with time-outs."""
    if target.database_url is None:
        return {}
    server = parse(target.database_url.get_secret_value(), config.environment.variables.database_url)
    watchdog = Watchdog()
    try:
        with Session(server, watchdog, timeout_ms=round(SECONDS * 1000)) as session:
            (row,) = session.query(_SCHEMA)
    finally:
        watchdog.close()
    return {"schema_version": str(row["schema"])[:_SHORT], "data_size": str(row["bytes"])}
