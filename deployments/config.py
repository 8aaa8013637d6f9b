"""Reads and validates environments and thresholds; everything that a run may do is decided here.

An environment file names variables, never their values; `resolve_target` reads the values into `SecretStr`. Every
problem of a file is reported at once, one line each, with file, field and remedy.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, SecretStr, ValidationError, model_validator

from deployments.changes import ChangeSettings
from deployments.gates import GateProfile, gate_policy, load_waivers
from deployments.load import Load
from deployments.scenarios import ScenarioSettings
from deployments.settings import Settings
from storage.errors import ConfigurationError
from storage.records import ComponentId, GatePolicy, Threshold, Waiver

ENVIRONMENTS = Path(__file__).parent / "environments"
OWN_ENVIRONMENTS = "HASIVU_PERF_ENVIRONMENTS"
"""Variable with the folder of environment files that take the place of those that come with this program."""
THRESHOLDS = Path(__file__).parent / "thresholds.toml"
PROFILES = ("development", "staging", "production", "quick", "custom")

_LONGEST_HOLIDAY = 366
_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")

Profile = Literal["development", "staging", "production", "quick", "custom"]


class ValueRange(Settings):
    """Values that a load plan draws from: `template` with `{n}` filled by a number from `first` to `last`.

    `{today}` in a template is the day in UTC, as 2026-03-02.

    Where `hot` > 1 the draw is skewed to small numbers: n = first + span · u^hot for uniform u, as a school's newest
    orders are asked for most.
    """

    template: str
    first: int = 1
    last: int = 1
    hot: float = Field(default=1.0, ge=1.0)

    @model_validator(mode="after")
    def _fills(self) -> Self:
        if self.last < self.first:
            msg = f"last {self.last} is below first {self.first}"
            raise ValueError(msg)
        try:
            self.value(self.first)
        except (KeyError, IndexError, ValueError) as error:
            msg = f"template {self.template!r} cannot be filled with n: {error}"
            raise ValueError(msg) from error
        return self

    def value(self, number: int) -> str:
        """The value for one number."""
        return self.template.format(n=number, today=datetime.now(UTC).date().isoformat())


class Endpoint(Settings):
    """One weighted request of the API's mix. `{name}` in path, query and body is drawn from `values`."""

    method: Literal["GET", "POST", "PUT", "DELETE"] = "GET"
    path: str = Field(pattern=r"^/")
    weight: float = Field(default=1.0, gt=0)
    query: Mapping[str, str] = Field(default_factory=dict)
    body: Mapping[str, Any] | None = None
    expect: tuple[int, ...] = (200,)
    writes: bool = Field(default=False, description="changes data: left out where the environment forbids writes")

    @property
    def name(self) -> str:
        """How samples and findings call it: method and path template."""
        return f"{self.method} {self.path}"


class ApiSettings(Settings):
    """What the api component asks for.

    A header may hold `${NAME}`: the value of that variable takes its place when the load starts, so that a token
    stands in no file and in no parameter.
    """

    headers: Mapping[str, str] = Field(default_factory=dict)
    values: Mapping[str, ValueRange] = Field(default_factory=dict)
    endpoints: tuple[Endpoint, ...] = Field(min_length=1)
    timeout_s: float = Field(default=10, gt=0)


class WebsocketSettings(Settings):
    """What the websocket component does: connections that each send one message per pace."""

    connections: int | None = Field(default=None, ge=1, description="by default one for each user of the load")
    pace_s: float = Field(default=1.0, gt=0)
    subscribe: str = Field(default="orders", description="channel of the message of an opening; empty for none")
    orders: ValueRange
    timeout_s: float = Field(default=10, gt=0)
    protocol: Literal["websocket", "socketio"] = "websocket"
    transport: Literal["websocket", "polling", "upgrade"] = Field(
        default="upgrade", description="of Socket.IO; upgrade: by polling until the upgrade, as browsers do"
    )
    namespace: str = Field(default="/", pattern=r"^/[^,\s?]*$", description="of Socket.IO")
    reconnects: int = Field(default=10, ge=0, description="per connection")
    backoff_s: float = Field(default=0.5, gt=0, description="before the first reconnect after a drop")
    backoff_factor: float = Field(default=2, ge=1, description="longer after each reconnect that failed")
    backoff_limit_s: float = Field(default=10, gt=0)
    backoff_jitter: float = Field(default=0.5, ge=0, le=1)
    storm_at_s: float | None = Field(default=None, ge=0, description="when the plan drops every connection at once")
    storm_s: float = Field(default=10, gt=0, description="messages due so long after it are a phase of their own")


class CacheFamily(Settings):
    """A family of cache keys, and which of its keys a read probe asks for."""

    name: str
    pattern: str = Field(description="glob as SCAN MATCH takes it")
    keys: ValueRange | None = None


class CacheSettings(Settings):
    """What the cache component reads, and how much it may write."""

    families: tuple[CacheFamily, ...] = ()
    probe_rate: float = Field(default=50, gt=0, description="GETs a second of the latency probe")
    write_share: float = Field(
        default=0, ge=0, le=1, description="share of the probe's calls on keys of its own, where writes are allowed"
    )
    scan_limit: int = Field(default=20_000, ge=0, description="keys looked at per scan, at most")


class RfidSettings(Settings):
    """What the rfid component presents to the readers: test cards only."""

    verify_path: str = "/rfid/verify"
    bulk_path: str = "/rfid/verify-bulk"
    cards: ValueRange
    readers: ValueRange
    bulk_size: int = Field(default=20, ge=1, le=100)
    bulk_rate: float = Field(default=5, gt=0, description="bulk requests a second")
    target_rate: float = Field(default=500, gt=0, description="verifications a second that the readers need")
    margin: float = Field(default=1.2, ge=1, description="the search stops at target_rate × margin")
    step_s: float = Field(default=3, gt=0)
    latency_limit_ms: float = Field(default=300, gt=0, description="a step is sustained while p95 stays below")
    error_limit: float = Field(default=0.01, ge=0, le=1)
    timeout_s: float = Field(default=5, gt=0)


class ReadStatement(Settings):
    """A representative read, timed at the client: `sql` with psycopg's `%(name)s`, drawn from `values`."""

    name: str
    sql: str


class IndexAdviceSettings(Settings):
    """How a run asks for index advice: beside load, so planned on a twin, and on a copy of the rows only on demand.

    The twin needs `pg_read_all_data`; it reads schema and statistics once, and nothing is changed. `rehearse` "auto"
    proves the advice by run time on a copy, where the server runs on this machine.
    """

    enabled: bool = True
    deadline_s: float = Field(default=60, gt=0, description="the advice is given up after so long")
    rehearse: Literal["never", "auto"] = "never"
    budget_mb: float | None = Field(default=None, gt=0, description="most megabytes of new indexes")
    max_indexes: int | None = Field(default=None, ge=1)


class DatabaseSettings(Settings):
    """What the database component times and samples; sessions are read-only with a statement time-out."""

    statements: tuple[ReadStatement, ...] = ()
    values: Mapping[str, ValueRange] = Field(default_factory=dict)
    read_rate: float = Field(default=10, gt=0, description="representative reads a second")
    statement_timeout_ms: int = Field(default=5000, gt=0)
    sample_every_s: float = Field(default=1.0, gt=0)
    top: int = Field(default=20, ge=1)
    pool_size: int | None = Field(default=None, ge=1, description="connections that the application may open")
    application: str | None = Field(default=None, description="application_name of the application's pool")
    memory_mb: int | None = Field(default=None, gt=0, description="of the server's machine, where it is another one")
    cores: int | None = Field(default=None, gt=0, description="of the server's machine, where it is another one")
    pooler_variable: str | None = Field(
        default=None,
        pattern=r"^[A-Z_][A-Z0-9_]*$",
        description="name of the variable with the address of PgBouncer's admin console; it may be left unset",
    )
    advice: IndexAdviceSettings = IndexAdviceSettings()
    changes: ChangeSettings = Field(default_factory=ChangeSettings)


class LambdaSettings(Settings):
    """Which functions are looked at, over which days; `critical` names those that serve lunch."""

    name_prefix: str = ""
    days: int = Field(default=14, ge=1, le=90)
    critical: tuple[str, ...] = ()
    not_critical: tuple[str, ...] = Field(default=(), description="functions that are not, whatever else says so")
    log_group: str = "/aws/lambda/{function}"
    max_log_events: int = Field(default=500_000, ge=1)
    school_hours: tuple[int, int] = (7, 16)
    timezone: str = "Asia/Kolkata"
    most_cold: float = Field(
        default=0.001, gt=0, lt=1, description="share of cold starts that is good enough for a critical function"
    )
    meals_function: str = Field(
        default="rfid-delivery-verification",
        description="function whose successful calls are meals served; empty: none",
    )
    meals_per_school_day: int | None = Field(
        default=None, ge=1, description="meals served on a school day, where no function counts them"
    )


class Variables(Settings):
    """Names of the environment variables that hold addresses; their values never enter a file."""

    api_url: str
    ws_url: str
    redis_url: str
    database_url: str


class IdentitySettings(Settings):
    """How the target says which build it is: the first of `fields` in the JSON answer of the first of `paths`."""

    paths: tuple[str, ...] = Field(default=("/status",), min_length=1)
    fields: tuple[str, ...] = Field(default=("release", "version", "commit", "build"), min_length=1)


class Scale(Settings):
    """Where components run and from how many processes load is sent: one machine and one process by default.

    `dask` runs components on the workers of a Dask cluster: one that exists, or one of `cluster_workers` processes
    that is started on this machine for the run and ended with it.
    """

    runner: Literal["threads", "dask"] = "threads"
    address: str | None = Field(
        default=None,
        pattern=r"^[A-Z_][A-Z0-9_]*$",
        description="name of the variable that holds the scheduler's address, e.g. tls://scheduler:8786",
    )
    cluster_workers: int | None = Field(
        default=None, ge=1, le=64, description="processes of a cluster of the run's own"
    )
    shards: int = Field(default=1, ge=1, le=64, description="processes that share the load of api and rfid")
    max_clock_offset_ms: float = Field(
        default=50, gt=0, le=1000, description="how far a shard's clock may be off, and how late it may start"
    )

    @model_validator(mode="after")
    def _fits(self) -> Self:
        given = [name for name in ("address", "cluster_workers") if getattr(self, name) is not None]
        if self.runner == "threads" and given:
            msg = f'{given[0]} has a meaning with runner = "dask" alone: set that, or remove it'
            raise ValueError(msg)
        if self.runner == "dask" and len(given) != 1:
            msg = 'runner = "dask" needs either address or cluster_workers'
            raise ValueError(msg)
        return self


class Retention(Settings):
    """How many runs of the environment are kept (docs/storage.md says which are kept besides)."""

    keep_runs: int = Field(default=100, ge=1)


class HistorySettings(Settings):
    """What judging over runs must know of the schools' year."""

    closed: tuple[str, ...] = Field(
        default=(), description="days without school, 2026-10-02, and stretches of them, 2026-05-01..2026-06-10"
    )

    @model_validator(mode="after")
    def _are_days(self) -> Self:
        self.days_closed()
        return self

    def days_closed(self) -> frozenset[date]:
        """Every day without school."""
        found: set[date] = set()
        for stretch in self.closed:
            first, _, last = stretch.partition("..")
            start, end = date.fromisoformat(first), date.fromisoformat(last or first)
            if end < start or (end - start).days > _LONGEST_HOLIDAY:
                msg = f"{stretch!r} ends before it starts, or is longer than a year"
                raise ValueError(msg)
            found.update(start + timedelta(days=number) for number in range((end - start).days + 1))
        return frozenset(found)


class Environment(Settings):
    """One environment file."""

    name: str
    title: str
    production: bool = False
    writes: bool = Field(default=False, description="whether load may create or change data")
    embedded: bool = Field(default=False, description="without variables the embedded platform is started")
    indicative: bool = Field(
        default=False,
        description="its gate takes load figures that are indicative only, such as those of a target on one machine "
        "with the generator: for environments from which nothing is released",
    )
    components: tuple[ComponentId, ...] = tuple(ComponentId)
    variables: Variables
    identity: IdentitySettings = Field(default_factory=IdentitySettings)
    retention: Retention = Field(default_factory=Retention)
    history: HistorySettings = Field(default_factory=HistorySettings)
    load: Load
    database: DatabaseSettings
    api: ApiSettings
    websocket: WebsocketSettings
    cache: CacheSettings
    rfid: RfidSettings
    lambda_functions: LambdaSettings
    scale: Scale = Field(default_factory=Scale)
    scenario: ScenarioSettings = Field(default_factory=ScenarioSettings)


class Target(Settings):
    """The addresses of one environment, resolved; secrets never leave `SecretStr` but at the wire."""

    api_url: SecretStr | None = None
    ws_url: SecretStr | None = None
    redis_url: SecretStr | None = None
    database_url: SecretStr | None = None
    pooler_url: SecretStr | None = None
    headers: Mapping[str, SecretStr] = Field(default_factory=dict, description="of every HTTP request")
    variables: Mapping[str, SecretStr] = Field(default_factory=dict, description="of the scenario")
    tokens: tuple[SecretStr, ...] = Field(
        default=(), description="values of variables that stand in headers and in the scenario's variables"
    )
    aws_region: str | None = None
    aws_endpoint_url: str | None = None
    local: bool = Field(default=False, description="generator and target share a machine: load is indicative only")


class RunConfig(Settings):
    """All that one run may do, without any secret: stored with the run, handed to tasks and flows as JSON."""

    profile: Profile
    environment: Environment
    components: tuple[ComponentId, ...]
    thresholds: tuple[Threshold, ...]
    weights: Mapping[ComponentId, float]
    overrides: Mapping[str, str] = Field(default_factory=dict)
    local: bool = False
    gate: GatePolicy = Field(default_factory=GatePolicy)
    waivers: tuple[Waiver, ...] = ()


NEEDS: dict[ComponentId, tuple[str, ...]] = {
    ComponentId.DATABASE: ("database_url",),
    ComponentId.LAMBDA: (),
    ComponentId.API: ("api_url",),
    ComponentId.WEBSOCKET: ("ws_url",),
    ComponentId.CACHE: ("redis_url",),
    ComponentId.RFID: ("api_url",),
}
"""Which addresses a component needs."""


def problems_of(error: ValidationError, where: str) -> list[str]:
    """One line per problem: file, field, what is wrong and what was given (never for secrets)."""
    lines = []
    for item in error.errors(include_url=False):
        field = ".".join(str(part) for part in item["loc"]) or "(whole file)"
        lines.append(f"{where}: {field}: {item['msg']}")
    return lines


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigurationError([f"{path}: no such file; environments are {', '.join(known())}"]) from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigurationError([f"{path}: {error}"]) from error


def environments_folder() -> Path:
    """Where the environment files lie; a folder that is named and is not there is a `ConfigurationError`."""
    own = os.environ.get(OWN_ENVIRONMENTS)
    if own and not Path(own).is_dir():
        raise ConfigurationError([f"{OWN_ENVIRONMENTS} names no folder: {own}; set it to one with *.toml files"])
    return Path(own) if own else ENVIRONMENTS


def known(folder: Path | None = None) -> list[str]:
    """Names of the environments that have a file."""
    return sorted(path.stem for path in (folder or environments_folder()).glob("*.toml"))


def load_environment(name: str, folder: Path | None = None) -> Environment:
    """Read `folder/name.toml`; a `ConfigurationError` holds every problem of it."""
    path = (folder or environments_folder()) / f"{name}.toml"
    return _validate_environment(_read_toml(path), str(path))


def _validate_environment(data: Mapping[str, Any], where: str) -> Environment:
    try:
        return Environment.model_validate(data)
    except ValidationError as error:
        raise ConfigurationError(problems_of(error, where)) from None


class _ThresholdFile(Settings):
    weights: Mapping[ComponentId, float]
    threshold: tuple[Threshold, ...]
    environment: Mapping[str, Mapping[str, Mapping[str, Any]]] = Field(default_factory=dict)
    gate: Mapping[str, GateProfile] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _adds_up(self) -> Self:
        total = sum(self.weights.values())
        if abs(total - 1) > 1e-9:  # noqa: PLR2004 - rounding of a decimal sum
            msg = f"weights add up to {total}, not 1"
            raise ValueError(msg)
        return self


def load_thresholds(
    environment: str | None = None, path: Path = THRESHOLDS
) -> tuple[tuple[Threshold, ...], Mapping[ComponentId, float]]:
    """Thresholds with an environment's overrides applied, and the components' weights."""
    file = _threshold_file(environment, path)
    return file.threshold, file.weights


def load_gate(environment: str, path: Path = THRESHOLDS, *, named: str | None = None) -> GatePolicy:
    """How strict an environment's gate is; `named` asks for a profile by its name instead."""
    return gate_policy(_threshold_file(None, path).gate, environment, named=named)


def _threshold_file(environment: str | None, path: Path) -> _ThresholdFile:
    data = _read_toml(path)
    overrides = data.get("environment", {}).get(environment, {}) if environment else {}
    for row in data.get("threshold", []):
        row.update(overrides.get(row.get("metric"), {}))
    try:
        return _ThresholdFile.model_validate(data)
    except ValidationError as error:
        raise ConfigurationError(problems_of(error, str(path))) from None


def _with_overrides(environment: Environment, overrides: Mapping[str, str]) -> Environment:
    """Apply dotted `field=value` pairs; a bare field of the load profile may leave out `load.`."""
    data = environment.model_dump(mode="json")
    problems = []
    for dotted, value in overrides.items():
        *parents, leaf = (dotted if "." in dotted else f"load.{dotted}").split(".")
        node: Any = data
        for parent in parents:
            node = node.get(parent) if isinstance(node, dict) else None
        if not isinstance(node, dict) or leaf not in node:
            problems.append(
                f"--set {dotted}={value}: no such field; fields of the load are {', '.join(data['load'])}"
            )
            continue
        try:
            node[leaf] = tomllib.loads(f"v = {value}")["v"]
        except tomllib.TOMLDecodeError:
            node[leaf] = value
    if problems:
        raise ConfigurationError(problems)
    return _validate_environment(
        data, f"{environment.name} with {', '.join(f'{k}={v}' for k, v in overrides.items())}"
    )


def build_config(
    profile: str,
    *,
    base: str = "development",
    components: tuple[str, ...] = (),
    overrides: Mapping[str, str] | None = None,
    local: bool = False,
    folder: Path | None = None,
) -> RunConfig:
    """The configuration of one run: a profile's file, the thresholds, and what the caller overrode.

    `quick` is the database of `base` alone, `custom` is `base` with any field overridden.
    """
    if profile not in PROFILES:
        raise ConfigurationError([f"profile {profile!r} is unknown; profiles are {', '.join(PROFILES)}"])
    name = base if profile in ("quick", "custom") else profile
    environment = _with_overrides(load_environment(name, folder), overrides or {})
    unknown = [c for c in components if c not in set(ComponentId)]
    if unknown:
        known_ids = ", ".join(ComponentId)
        raise ConfigurationError([f"component {c!r} is unknown; components are {known_ids}" for c in unknown])
    chosen = tuple(ComponentId(c) for c in components)
    if not chosen:
        chosen = (ComponentId.DATABASE,) if profile == "quick" else environment.components
    off = [c for c in chosen if c not in environment.components]
    if off:
        raise ConfigurationError([f"component {c} is switched off in the environment {name}" for c in off])
    thresholds, weights = load_thresholds(name)
    return RunConfig.model_validate(
        {
            "profile": profile,
            "environment": environment,
            "components": chosen,
            "thresholds": thresholds,
            "weights": weights,
            "overrides": dict(overrides or {}),
            "local": local,
            "gate": load_gate(name),
            "waivers": load_waivers(name),
        }
    )


def missing_variables(config: RunConfig, variables: Mapping[str, str] = os.environ) -> list[str]:
    """Names of the variables that the chosen components need and that are not set."""
    names = {getattr(config.environment.variables, need) for c in config.components for need in NEEDS[c]}
    missing = sorted(name for name in names if not variables.get(name))
    if ComponentId.LAMBDA in config.components and not variables.get("AWS_REGION"):
        missing.append("AWS_REGION")
    return missing + sorted(name for name in _secret_variables(config) if not variables.get(name))


def header_variables(config: RunConfig) -> frozenset[str]:
    """Names of the variables that the headers of HTTP requests hold, where a chosen component sends some."""
    if not _sends(config):
        return frozenset()
    return frozenset(name for value in config.environment.api.headers.values() for name in _VARIABLE.findall(value))


def _secret_variables(config: RunConfig) -> frozenset[str]:
    """Names of all variables whose values a load sends along."""
    scenario = config.environment.scenario.variable_names() if _runs_scenario(config) else frozenset()
    return header_variables(config) | scenario


def needs_platform(config: RunConfig, variables: Mapping[str, str] = os.environ) -> bool:
    """Whether the embedded platform stands in for the environment.

    It does with `--local`, and where the environment's file allows it and none of its addresses is set. A variable
    that is missing beside others that are set is an error, not a reason to measure something else.
    """
    if config.local:
        return True
    missing = missing_variables(config, variables)
    if not missing:
        return False
    names = config.environment.variables.model_dump().values()
    if config.environment.embedded and not any(variables.get(name) for name in names):
        return True
    raise ConfigurationError([f"{name} is not set; set it, or use --local" for name in missing])


def resolve_target(config: RunConfig, variables: Mapping[str, str] = os.environ) -> Target:
    """Read the addresses of a run from variables; a missing one is a `ConfigurationError` that names it."""
    missing = missing_variables(config, variables)
    if missing:
        raise ConfigurationError([f"{name} is not set; set it, or use --local" for name in missing])
    names = config.environment.variables
    headers = config.environment.api.headers if _sends(config) else {}
    return Target(
        api_url=_secret(variables, names.api_url),
        ws_url=_secret(variables, names.ws_url),
        redis_url=_secret(variables, names.redis_url),
        database_url=_secret(variables, names.database_url),
        pooler_url=_secret(variables, config.environment.database.pooler_variable or ""),
        headers={name: SecretStr(_filled(value, variables)) for name, value in headers.items()},
        variables=config.environment.scenario.filled(variables) if _runs_scenario(config) else {},
        tokens=tuple(SecretStr(variables[name]) for name in sorted(_secret_variables(config))),
        aws_region=variables.get("AWS_REGION"),
        aws_endpoint_url=variables.get("AWS_ENDPOINT_URL"),
        local=config.local,
    )


def _sends(config: RunConfig) -> bool:
    return bool({ComponentId.API, ComponentId.RFID} & set(config.components))


def _runs_scenario(config: RunConfig) -> bool:
    return bool(config.environment.scenario.file) and ComponentId.API in config.components


def _filled(value: str, variables: Mapping[str, str]) -> str:
    return _VARIABLE.sub(lambda found: variables[found.group(1)], value)


def _secret(variables: Mapping[str, str], name: str) -> SecretStr | None:
    value = variables.get(name)
    return SecretStr(value) if value else None
