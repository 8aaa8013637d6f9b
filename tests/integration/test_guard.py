"""The production guard on real servers: documented logins pass, each right beyond them is named with its undoing."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from pydantic import SecretStr
from werkzeug.serving import make_server

from deployments.config import RunConfig, Target, build_config
from deployments.guarding import GuardSettings
from deployments.local.aws import REGION
from deployments.local.aws.guard import Guard
from deployments.local.aws.wire import Application
from deployments.local.postgres import ANALYSIS
from storage.errors import ExcessRightsError
from storage.records import FailedComponent, Report
from tasks import guard
from tasks.components import COMPONENTS
from tasks.components.base import Rights
from tasks.components.cache import CACHE
from tasks.components.database import DATABASE, rights
from tasks.components.lambda_functions import LAMBDA
from tasks.components.lambda_functions.rights import ACTIONS, principal
from tasks.load.database.session import parse
from tests.databases import DEBIAN_15, Database, database, needs_debian_15
from tests.e2e.conftest import run
from tests.faults.outcome import WHOLE
from tests.valkeys import Valkey, valkey

ROOT = Path(__file__).parents[2]
PRODUCTION = build_config("production")
LOGIN = "CREATE ROLE app LOGIN PASSWORD 'a-secret'"
FRESH = ("DROP OWNED BY app", "DROP ROLE app", LOGIN)
SCHEMA = (
    "CREATE TABLE orders (id bigserial PRIMARY KEY, total integer)",
    "CREATE TABLE audit (id integer)",
    "CREATE ROLE admins SUPERUSER",
    "CREATE ROLE writers",
    LOGIN,
)


def allowing(*rights: str, config: RunConfig = PRODUCTION) -> RunConfig:
    environment = config.environment.model_copy(update={"guard": GuardSettings(allow=rights)})
    return config.model_copy(update={"environment": environment})


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    with database(tmp_path_factory.mktemp("guard")) as started:
        started.run(*SCHEMA)
        yield started


def target(server: Database, role: str = "app") -> Target:
    url = f"postgresql://{role}:a-secret@127.0.0.1:{server.server.port}/hasivu"
    return Target(database_url=SecretStr(url))


def held(server: Database, *grants: str) -> Rights:
    """What the guard reads of the role after these statements, and that the role is as it was afterwards."""
    server.run(*FRESH, *grants)
    return DATABASE.rights(PRODUCTION, target(server))


BEYOND = {
    "SUPERUSER": (("ALTER ROLE app SUPERUSER",), ["SUPERUSER"]),
    "CREATEDB": (("ALTER ROLE app CREATEDB",), ["CREATEDB"]),
    "CREATEROLE": (("ALTER ROLE app CREATEROLE",), ["CREATEROLE"]),
    "REPLICATION": (("ALTER ROLE app REPLICATION",), ["REPLICATION"]),
    "BYPASSRLS": (("ALTER ROLE app BYPASSRLS",), ["BYPASSRLS"]),
    "by a role": (("GRANT admins TO app",), ["SUPERUSER by SET ROLE admins"]),
    "write all": (("GRANT pg_write_all_data TO app",), ["pg_write_all_data"]),
    "programs": (("GRANT pg_execute_server_program TO app",), ["pg_execute_server_program"]),
    "files": (("GRANT pg_write_server_files TO app",), ["pg_write_server_files"]),
    "signals": (("GRANT pg_signal_backend TO app",), ["pg_signal_backend"]),
    "maintain": (("GRANT pg_maintain TO app",), ["pg_maintain"]),
    "insert": (("GRANT INSERT ON orders TO app",), ["INSERT ON public.orders"]),
    "update": (("GRANT UPDATE (total) ON orders TO app",), ["UPDATE ON public.orders"]),
    "delete, truncate": (
        ("GRANT DELETE, TRUNCATE ON orders TO app",),
        ["DELETE ON public.orders", "TRUNCATE ON public.orders"],
    ),
    "by PUBLIC": (("GRANT INSERT ON audit TO PUBLIC",), ["INSERT ON public.audit"]),
    "by a group": (
        ("GRANT INSERT ON audit TO writers", "GRANT writers TO app WITH INHERIT FALSE"),
        ["INSERT ON public.audit"],
    ),
    "sequence": (("GRANT UPDATE ON orders_id_seq TO app",), ["UPDATE ON SEQUENCE public.orders_id_seq"]),
    "schema": (("GRANT CREATE ON SCHEMA public TO app",), ["CREATE ON SCHEMA public"]),
    "database": (("GRANT CREATE ON DATABASE hasivu TO app",), ["CREATE ON DATABASE hasivu"]),
    "owner": (("CREATE TABLE mine (a integer)", "ALTER TABLE mine OWNER TO app"), ["OWNER OF TABLE public.mine"]),
}


@pytest.mark.parametrize(("grants", "expected"), BEYOND.values(), ids=BEYOND)
def test_each_right_beyond_reading_is_named_and_its_statement_takes_it_away(
    server: Database, grants: tuple[str, ...], expected: list[str]
) -> None:
    found = held(server, *grants)
    try:
        assert [right.name for right in found.excess] == expected
        with pytest.raises(ExcessRightsError) as refused:
            guard.notes_of(DATABASE, PRODUCTION, target(server))
        assert all(name in str(refused.value) for name in expected)
        assert all(right.remedy in str(refused.value) for right in found.excess)
        assert "a-secret" not in str(refused.value)
        assert guard.notes_of(DATABASE, allowing(*expected), target(server)) == ()
        server.run(*(right.remedy.replace("another role", "CURRENT_USER") for right in found.excess))
        assert guard.notes_of(DATABASE, PRODUCTION, target(server)) == ()
    finally:
        server.run("REVOKE INSERT ON audit FROM PUBLIC, writers", "DROP TABLE IF EXISTS mine")


def test_a_role_that_reads_everything_passes_and_is_asked_for_nothing_more(server: Database) -> None:
    assert held(server, "GRANT pg_monitor TO app", "GRANT pg_read_all_data TO app").excess == ()
    analysis = Target(database_url=SecretStr(server.analysis))
    assert DATABASE.rights(PRODUCTION, analysis).who.startswith(f"role {ANALYSIS} at 127.0.0.1")
    assert guard.notes_of(DATABASE, PRODUCTION, analysis) == ()


def test_many_tables_are_told_in_few_words_and_doctor_lists_them(server: Database) -> None:
    tables = [f"CREATE TABLE many.t{number} (a integer)" for number in range(12)]
    found = held(
        server,
        "CREATE SCHEMA many",
        *tables,
        "GRANT USAGE ON SCHEMA many TO app",
        "GRANT INSERT, UPDATE ON ALL TABLES IN SCHEMA many TO app",
    )
    try:
        assert len(found.excess) == 24
        assert {right.remedy for right in found.excess} == {
            'REVOKE INSERT, UPDATE ON ALL TABLES IN SCHEMA "many" FROM "app"'
        }
        with pytest.raises(ExcessRightsError) as refused:
            guard.notes_of(DATABASE, PRODUCTION, target(server))
        assert "… and 19 more" in str(refused.value)
        assert len(str(refused.value)) < 600
        assert len([one for one in guard.checks(DATABASE, PRODUCTION, target(server)) if not one.ok]) == 24
        assert guard.notes_of(DATABASE, allowing("* ON many.*"), target(server)) == ()
    finally:
        server.run("DROP SCHEMA many CASCADE")


def test_what_an_environment_does_is_its_own_choice(server: Database) -> None:
    held(server, "ALTER ROLE app CREATEDB")
    (note,) = guard.notes_of(DATABASE, build_config("staging"), target(server))
    assert "CREATEDB" in note
    assert 'ALTER ROLE "app" NOCREATEDB' in note
    assert guard.notes_of(DATABASE, build_config("development"), target(server)) == ()
    strict = build_config("development", overrides={"guard.excess": "refuse"})
    with pytest.raises(ExcessRightsError):
        guard.notes_of(DATABASE, strict, target(server))


def test_who_changes_tables_owns_them_and_is_no_more(server: Database) -> None:
    held(server, "CREATE TABLE mine (a integer)", "ALTER TABLE mine OWNER TO app", "GRANT pg_monitor TO app")
    try:
        parsed = parse(str(target(server).database_url.get_secret_value()), "OWNER_URL")  # type: ignore[union-attr]
        settings = PRODUCTION.environment.database
        assert guard.judge(rights.of_owner(parsed, settings), PRODUCTION.environment) == ()
        server.run("ALTER ROLE app CREATEROLE", "GRANT pg_write_all_data TO app")
        with pytest.raises(ExcessRightsError, match=r"CREATEROLE, pg_write_all_data; take it away: ALTER ROLE"):
            guard.judge(rights.of_owner(parsed, settings), PRODUCTION.environment)
    finally:
        server.run("DROP TABLE mine")


@pytest.mark.system
@needs_debian_15
def test_postgresql_15_is_asked_as_well(tmp_path: Path) -> None:
    with database(tmp_path, binaries=DEBIAN_15) as started:
        started.run(*SCHEMA, "GRANT INSERT ON orders TO app", "GRANT pg_signal_backend TO app")
        names = [right.name for right in DATABASE.rights(PRODUCTION, target(started)).excess]
        assert names == ["pg_signal_backend", "INSERT ON public.orders"]


# --- the cache ---

DOCUMENTED = next(
    line.partition("hasivu-perf ")[2]
    for line in (ROOT / "docs/cache.md").read_text(encoding="utf-8").splitlines()
    if line.startswith("ACL SETUSER hasivu-perf")
).replace(">PASSWORD", ">a-secret")


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Valkey]:
    with valkey(tmp_path_factory.mktemp("guard")) as started:
        yield started


def user(cache: Valkey, rules: str) -> Target:
    with cache.client() as client:
        client.execute_command("ACL", "SETUSER", "perf", "reset", *rules.split())
        client.set("session:0", "kept")
        client.set("menu_item:0", "kept")
    return Target(redis_url=SecretStr(f"redis://perf:a-secret@127.0.0.1:{cache.port}/0"))


def test_the_documented_user_passes_and_what_cannot_be_asked_is_not_verified(cache: Valkey) -> None:
    (note,) = guard.notes_of(CACHE, PRODUCTION, user(cache, DOCUMENTED))
    assert note.startswith("not verified of user perf")
    assert "ACL DRYRUN" in note


@pytest.mark.parametrize(
    ("rules", "names"),
    [
        ("+set %RW~*", ["+set"]),
        ("+expire %RW~session:*", ["+expire"]),  # on the keys of one family alone
        ("+@write %RW~*", ["+set", "+expire", "+restore", "+setrange"]),
        ("+acl|dryrun +flushall", ["+flushall"]),
        ("+acl|dryrun +config +shutdown", ["+shutdown", "+config|get", "+config|set"]),
        ("+acl|dryrun +del %RW~menu_item:*", ["+del"]),
    ],
)
def test_each_right_of_a_user_is_named_without_using_it(cache: Valkey, rules: str, names: list[str]) -> None:
    asked = user(cache, f"{DOCUMENTED} {rules}")
    found = CACHE.rights(PRODUCTION, asked)
    assert sorted(right.name for right in found.excess) == sorted(names)
    with pytest.raises(ExcessRightsError, match="ACL SETUSER perf -"):
        guard.notes_of(CACHE, PRODUCTION, asked)
    with cache.client() as client:
        assert (client.get("session:0"), client.ttl("session:0")) == ("kept", -1)
        assert (client.get("menu_item:0"), client.dbsize()) == ("kept", 2)
        for right in found.excess:
            client.execute_command(*right.remedy.split())
    assert CACHE.rights(PRODUCTION, asked).excess == ()


def test_the_default_user_may_do_everything_and_is_refused_unless_allowed(cache: Valkey) -> None:
    plain = Target(redis_url=SecretStr(cache.url))
    names = {right.name for right in CACHE.rights(PRODUCTION, plain).excess}
    assert {"+flushall", "+config|set", "+shutdown", "+set", "+del", "+eval", "+acl|setuser"} <= names
    with pytest.raises(ExcessRightsError, match=r"user default of the cache at 127\.0\.0\.1"):
        guard.notes_of(CACHE, PRODUCTION, plain)
    assert guard.notes_of(CACHE, allowing("+*"), plain) == ()
    assert guard.notes_of(CACHE, PRODUCTION, plain.model_copy(update={"local": True})) == ()


# --- the command line ---


def addresses(server: Database, cache: Valkey, *grants: str) -> dict[str, str]:
    """Variables of a production whose role has been given more, and whose cache is asked as the default user."""
    server.run(*FRESH, "GRANT pg_monitor TO app", *grants)
    database = target(server).database_url
    assert database is not None
    return {"PRODUCTION_DATABASE_URL": database.get_secret_value(), "PRODUCTION_REDIS_URL": cache.url}


if WHOLE:  # it waits for a Prefect server to start

    def test_a_refused_run_of_production_ends_with_3_and_names_the_statements(
        server: Database, cache: Valkey, tmp_path: Path
    ) -> None:
        variables = addresses(server, cache, "GRANT INSERT ON orders TO app")
        before = cache.calls("get")
        command = ("run", "production", "--components", "database", "cache", "--output", "out")
        ended = run(*command, cwd=tmp_path, variables=variables, seconds=300)
        assert ended.code == 3, ended.err
        (path,) = tmp_path.glob("out/performance-orchestration-reports/*/*/report.json")
        report = Report.model_validate_json(path.read_bytes())
        said = {one.component.value: one.error or "" for one in report.components if isinstance(one, FailedComponent)}
        assert 'REVOKE INSERT ON TABLE public.orders FROM "app"' in said["database"]
        assert "ACL SETUSER default -" in said["cache"]
        assert cache.calls("get") == before, "nothing is measured with such a login"
        assert "a-secret" not in ended.out + ended.err + path.read_text(encoding="utf-8")
        assert "Traceback" not in ended.err


def test_a_watch_of_production_names_the_rights_and_watches_on(
    server: Database, cache: Valkey, tmp_path: Path
) -> None:
    variables = addresses(server, cache, "GRANT INSERT ON orders TO app")
    state = ("--state", str(tmp_path / "state"))
    command = ("watch", "production", "--components", "database", "cache", "--duration", "2", *state)
    ended = run(*command, cwd=tmp_path, variables=variables)
    assert ended.code == 0, ended.err
    said = ended.out + ended.err
    assert 'REVOKE INSERT ON TABLE public.orders FROM "app"' in " ".join(said.split())
    assert "user default of the cache" in said
    assert "a-secret" not in said


# --- AWS ---


@contextmanager
def emulated(*, denied: Sequence[str] = (), allowed: Sequence[str] = ()) -> Iterator[Target]:
    application = Application(Guard(denied, allowed=allowed))
    server = make_server("127.0.0.1", 0, application, threaded=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield Target(aws_region=REGION, aws_endpoint_url=f"http://127.0.0.1:{server.server_port}")
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_iam_tells_what_the_credentials_may_do_where_it_may_be_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "any")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "any")
    with emulated(allowed=[ACTIONS[0], "iam:PassRole"]) as target:
        with pytest.raises(ExcessRightsError, match="user/local in AWS") as refused:
            guard.notes_of(LAMBDA, PRODUCTION, target)
        assert "lambda:UpdateFunctionConfiguration, iam:PassRole" in str(refused.value)
        assert '"Effect": "Deny", "Action": ["iam:PassRole"]' in str(refused.value)
        assert guard.notes_of(LAMBDA, allowing("iam:PassRole", "lambda:Update*"), target) == ()
    with emulated() as target:
        assert guard.notes_of(LAMBDA, PRODUCTION, target) == ()
    with emulated(denied=["iam:SimulatePrincipalPolicy"]) as target:
        (note,) = guard.notes_of(LAMBDA, PRODUCTION, target)
        assert note.startswith("not verified of user/local in AWS")
        assert "iam:SimulatePrincipalPolicy is denied" in note


def test_a_session_is_asked_for_by_its_role() -> None:
    arn = "arn:aws:sts::123456789012:assumed-role/hasivu-perf/build-7"
    assert principal(arn) == "arn:aws:iam::123456789012:role/hasivu-perf"
    assert principal("arn:aws:iam::123456789012:user/perf") == "arn:aws:iam::123456789012:user/perf"


def test_components_without_a_login_of_their_own_are_not_asked() -> None:
    nowhere = Target(api_url=SecretStr("http://127.0.0.1:1"))
    unguarded = [unit for unit in COMPONENTS.values() if unit not in (DATABASE, CACHE, LAMBDA)]
    assert len(unguarded) == 3
    assert [guard.notes_of(unit, PRODUCTION, nowhere) for unit in unguarded] == [(), (), ()]
