"""What stands between a plan and the database of an environment: whether it may be changed, by which address.

The command line, the flow and the Python API all come by here.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from deployments.config import Environment, environments_folder, load_environment
from storage.errors import NotMeasuredError, StorageError, UsageError
from storage.parquet import Store
from storage.records import Finding
from tasks import guard
from tasks.components.database import rights
from tasks.components.database.change import plan as plans
from tasks.components.database.change.ledger import Ledger
from tasks.components.database.change.plan import Allowed
from tasks.components.database.change.records import ChangePlan, Entry, Kind, Outcome, State
from tasks.components.database.change.run import Request, optimize
from tasks.ledger import advised_by, mark_applied
from tasks.load.database.session import Server, parse


@dataclass(frozen=True)
class Job:
    """A plan that was read, and the database that it is for."""

    environment: Environment
    plan: ChangePlan
    server: Server
    output: str


def changeable(environment: str) -> Environment:
    """The environment, where its file allows changes; else a `UsageError` that says how to allow them."""
    found = load_environment(environment)
    if not found.database.changes.allow:
        raise UsageError(
            f"{environment} allows no changes of its database: set allow = true and tables in [database.changes] of "
            f"{environments_folder() / environment}.toml"
        )
    return found


def owner_of(environment: Environment, dsn: str | None = None) -> Server:
    """The server by the address of the tables' owner; a `UsageError` names the variable that is missing or wrong."""
    variable = environment.database.changes.address or environment.variables.database_url
    address = dsn or os.environ.get(variable)
    if not address:
        how = "take those that `hasivu-perf local up` prints" if environment.embedded else "set it"
        raise UsageError(f"{variable} is not set: {how}, or use --dsn postgresql://user:password@host:5432/dbname")
    try:
        return parse(address, "--dsn" if dsn else variable)
    except NotMeasuredError as error:
        raise UsageError(str(error)) from None


def allowed_in(environment: Environment, *, allow_drop: bool = False) -> Allowed:
    """What a plan for the environment may hold."""
    changes = environment.database.changes
    return Allowed(frozenset(changes.tables), drop=allow_drop, most=changes.max_builds)


def prepared(
    environment: str, content: str, where: str, *, allow_drop: bool, output: str, dsn: str | None = None
) -> Job:
    """Read the environment and the plan; `UsageError` and its kin say what is wrong with either."""
    found = changeable(environment)
    made = plans.read(content, where, allowed_in(found, allow_drop=allow_drop))
    return Job(found, made, owner_of(found, dsn), output if "://" in output else str(Path(output).resolve()))


def carried_out(job: Job, run: str, approved_by: str, say: Callable[[str], None]) -> Outcome:
    """Carry out an approved plan; `NotMeasuredError` where the database cannot be changed at all."""
    environment = job.environment
    if environment.on_excess != "ignore":
        for note in guard.judge(rights.of_owner(job.server, environment.database), environment):
            say(note)
    request = Request(
        run=run,
        environment=environment.name,
        production=environment.production,
        server=job.server,
        plan=job.plan,
        approved_by=approved_by,
        settings=environment.database.changes,
        reads=environment.database,
    )
    store = Store(job.output)
    outcome = optimize(request, Ledger(store, environment.name), say)
    notes = [_noted(store, entry) for entry in outcome.entries if entry.state is State.KEPT]
    return outcome.model_copy(update={"notes": (*outcome.notes, *filter(None, notes))})


def _noted(store: Store, entry: Entry) -> str:
    """Note in the ledger of advice that an index was built, so that the next run tells what it did; says so.

    Empty where no stored run advised that index: then nothing was predicted. An index stands whatever can be noted.
    """
    if entry.step.kind is not Kind.CREATE:
        return ""
    wanted = plans.shape(entry.step.sql)

    def builds(finding: Finding) -> bool:
        commands = (one for one in finding.remedy.commands if one.startswith("CREATE INDEX"))
        return any(plans.shape(one) == wanted for one in commands)

    try:
        found = advised_by(store, entry.environment, builds)
        if found is None:
            return ""
        folder, finding = found
        (made,) = mark_applied(folder, [finding.id], entry.approved_by)
    except StorageError as error:
        return f"{entry.step.name}: not noted for verification: {error}"
    metrics = ", ".join(dict.fromkeys(change.metric for change in made.changes))
    return f"{entry.step.name}: the next run shows {metrics} beside what run {folder.run} predicted"
