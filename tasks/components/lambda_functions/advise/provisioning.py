"""Environments that stand ready: commands that bring them and take them away, and the same as infrastructure code."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tasks.components.lambda_functions.advise.commands import ALIAS, alias_of, aws, on, patches, resource_name
from tasks.components.lambda_functions.facts import FunctionFacts
from tasks.components.lambda_functions.timetable import Block


def provision(
    function: FunctionFacts, environments: int, *, always: int, blocks: Sequence[Block] = (), timezone: str = ""
) -> tuple[str, ...]:
    """Keep environments ready behind the alias: `always` so many, more in blocks.

    Where callers use no alias yet, a version is published and an alias made: callers of `$LATEST` get nothing.
    """
    publish = on(function, "publish-version", "--query", "Version", "--output", "text")
    create = on(function, "create-alias", "--name", ALIAS)
    alias = alias_of(function)
    made = () if alias else (f"VERSION=$({publish})", f'{create} --function-version "$VERSION"')
    qualifier = alias or ALIAS
    ready = ("put-provisioned-concurrency-config", "--qualifier", qualifier, "--provisioned-concurrent-executions")
    return (
        *made,
        *((on(function, *ready, str(always)),) if always else ()),
        *(_scale(function, environments, always, blocks, timezone) if blocks else ()),
    )


def undo_provision(function: FunctionFacts, *, always: int, blocks: Sequence[Block] = ()) -> tuple[str, ...]:
    """Take the timetable (its actions go with the target) and the environments away, and an alias made for them."""
    stop = aws(function, "deregister-scalable-target", *_target(function), service="application-autoscaling")
    alias = alias_of(function)
    drop = on(function, "delete-provisioned-concurrency-config", "--qualifier", alias or ALIAS)
    return (
        *((stop,) if blocks else ()),
        *((drop,) if always or blocks else ()),
        *(() if alias else (on(function, "delete-alias", "--name", ALIAS),)),
    )


def _target(function: FunctionFacts) -> tuple[str, ...]:
    return (
        "--service-namespace",
        "lambda",
        "--resource-id",
        f"function:{function.name}:{alias_of(function) or ALIAS}",
        "--scalable-dimension",
        "lambda:function:ProvisionedConcurrency",
    )


def _scale(
    function: FunctionFacts, environments: int, always: int, blocks: Sequence[Block], timezone: str
) -> Iterator[str]:
    """Register the alias as a scalable target, and for each block an action that switches on and one that ends it."""
    limits = ("--min-capacity", str(always), "--max-capacity", str(environments))
    yield aws(function, "register-scalable-target", *_target(function), *limits, service="application-autoscaling")
    for number, block in enumerate(blocks, 1):
        for name, cron, many in ((f"on-{number}", block.on, environments), (f"off-{number}", block.off, always)):
            yield aws(
                function,
                "put-scheduled-action",
                *_target(function),
                "--scheduled-action-name",
                f"{function.name}-{name}",
                "--schedule",
                cron,
                "--timezone",
                timezone,
                "--scalable-target-action",
                f"MinCapacity={many},MaxCapacity={many}",
                service="application-autoscaling",
            )


def provision_patches(
    function: FunctionFacts, environments: int, *, always: int, blocks: Sequence[Block] = (), timezone: str = ""
) -> tuple[str, ...]:
    """The same in infrastructure code. The Serverless Framework has no timetable of its own: it keeps `always`."""
    resource = resource_name(function)
    ready = always or environments
    sam = f"AutoPublishAlias: {ALIAS}\nProvisionedConcurrencyConfig:\n  ProvisionedConcurrentExecutions: {ready}"
    terraform = (
        f"# Terraform: publish = true in aws_lambda_function.{resource}, and\n"
        f'resource "aws_lambda_alias" "{resource}_{ALIAS}" {{\n  name             = "{ALIAS}"\n'
        f"  function_name    = aws_lambda_function.{resource}.function_name\n"
        f"  function_version = aws_lambda_function.{resource}.version\n}}\n"
        + (_terraform_schedule(resource, environments, always, blocks, timezone) if blocks else "")
        + (_terraform_always(resource, ready) if always or not blocks else "")
    )
    serverless, template, _ = patches(function, f"provisionedConcurrency: {ready}", sam, "")
    return serverless, template, terraform.rstrip()


def removal_patches(function: FunctionFacts) -> tuple[str, ...]:
    """Take provisioned concurrency out of the infrastructure code."""
    resource = resource_name(function)
    serverless, template, _ = patches(
        function, "# remove: provisionedConcurrency", "# remove: ProvisionedConcurrencyConfig", ""
    )
    gone = f'# remove: resource "aws_lambda_provisioned_concurrency_config" "{resource}"'
    return serverless, template, f"# Terraform\n{gone}"


def _terraform_always(resource: str, ready: int) -> str:
    return (
        f'resource "aws_lambda_provisioned_concurrency_config" "{resource}" {{\n'
        f"  function_name                     = aws_lambda_alias.{resource}_{ALIAS}.function_name\n"
        f"  qualifier                         = aws_lambda_alias.{resource}_{ALIAS}.name\n"
        f"  provisioned_concurrent_executions = {ready}\n}}\n"
    )


def _terraform_schedule(resource: str, environments: int, always: int, blocks: Sequence[Block], timezone: str) -> str:
    target = f"aws_appautoscaling_target.{resource}"
    lines = [
        f'resource "aws_appautoscaling_target" "{resource}" {{',
        f"  min_capacity       = {always}",
        f"  max_capacity       = {environments}",
        f'  resource_id        = "function:${{aws_lambda_function.{resource}.function_name}}:{ALIAS}"',
        '  scalable_dimension = "lambda:function:ProvisionedConcurrency"',
        '  service_namespace  = "lambda"',
        "}",
    ]
    for number, block in enumerate(blocks, 1):
        for name, cron, many in (("on", block.on, environments), ("off", block.off, always)):
            lines += [
                f'resource "aws_appautoscaling_scheduled_action" "{resource}_{name}_{number}" {{',
                f'  name               = "{resource}-{name}-{number}"',
                f"  service_namespace  = {target}.service_namespace",
                f"  resource_id        = {target}.resource_id",
                f"  scalable_dimension = {target}.scalable_dimension",
                f'  schedule           = "{cron}"',
                f'  timezone           = "{timezone}"',
                "  scalable_target_action {",
                f"    min_capacity = {many}",
                f"    max_capacity = {many}",
                "  }",
                "}",
            ]
    return "\n".join(lines) + "\n"
