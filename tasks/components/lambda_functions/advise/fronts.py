"""Routes that lead nowhere, and stages of an API that serve functions of another stage."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator

from storage.records import Finding, Level, Remedy, Severity
from tasks.components.lambda_functions.advise.finding import finding
from tasks.components.lambda_functions.facts import Facts
from tasks.components.lambda_functions.triggers import ROUTE

DEFAULT_STAGE = "$default"

_STAGES = r"dev|development|test|qa|stage|staging|uat|preprod|prod|production"
_STAGE = re.compile(rf"(?:^|-)({_STAGES})(?=-|$)")
_API_ID = re.compile(r"\(([0-9a-z]+)\)$")
_LISTED = 10


def stage_of(function: str) -> str:
    """The stage in a function's name (`service-stage-key`), empty where it holds none."""
    found = _STAGE.search(function)
    return found[1] if found else ""


def orphan_routes(facts: Facts) -> Iterator[Finding]:
    """Routes whose function is not in the account, or that have none: callers get an error at once."""
    for row in facts.triggers:
        if row["kind"] != ROUTE or row["exists"]:
            continue
        missing = f"its function {row['function']} does not exist" if row["function"] else "it has no function"
        yield finding(
            "route_without_function",
            row["detail"],
            title=f"The route {row['detail']} leads nowhere: {missing}",
            detail=f"It is a route of the API {row['api']}. Whoever calls it gets an error of API Gateway.",
            severity=Severity.WARNING,
            impact=Level.MEDIUM,
            effort=Level.LOW,
            remedy=Remedy(
                summary="Deploy the function, or take the route out of the infrastructure code and deploy that.",
                commands=(_routes_command(facts, row["api"]),) if _API_ID.search(row["api"]) else (),
            ),
        )


def _routes_command(facts: Facts, api: str) -> str:
    identity = _API_ID.search(api)
    region = next(iter(facts.functions.values())).region
    return f"aws apigatewayv2 get-routes --api-id {identity[1] if identity else ''} --region {region}"


def strange_stages(facts: Facts) -> Iterator[Finding]:
    """Stages of an API that are named otherwise than the functions they serve."""
    served: dict[tuple[str, str], set[str]] = defaultdict(set)
    for row in facts.triggers:
        own = stage_of(row["function"] or "")
        for stage in row["stages"] or []:
            if row["exists"] and own and stage not in {DEFAULT_STAGE, own}:
                served[row["api"], stage].add(row["function"])
    for (api, stage), functions in sorted(served.items()):
        stages = sorted({stage_of(name) for name in functions})
        names = sorted(functions)
        more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
        yield finding(
            "stage_mismatch",
            f"{api} {stage}",
            title=f"The stage {stage} of {api} serves {len(names)} functions of stage {', '.join(stages)}",
            detail=(
                f"Who calls {stage} works on the data and limits of {', '.join(stages)}: "
                f"{', '.join(names[:_LISTED])}{more}."
            ),
            severity=Severity.WARNING,
            impact=Level.HIGH if stage.startswith("prod") else Level.MEDIUM,
            effort=Level.MEDIUM,
            remedy=Remedy(
                summary=(
                    f"Deploy the functions of {stage} with an API of their own, or remove the stage if nobody should "
                    "call it. Look at its access log first: who still calls it breaks."
                ),
            ),
        )
