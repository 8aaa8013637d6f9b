"""AWS CLI commands and infrastructure patches, as a person copies and runs them.

Every command is checked against the AWS API's own model in the tests. A change by command drifts from the
infrastructure code, so the patches say the same there.
"""

from __future__ import annotations

import re
import shlex

from tasks.components.lambda_functions.facts import FunctionFacts

ALIAS = "live"


def aws(function: FunctionFacts, operation: str, *options: str, service: str = "lambda") -> str:
    """One command of the AWS CLI in the function's region; options alternate `--name` and value."""
    return shlex.join(["aws", *service.split(), operation, *options, "--region", function.region])


def on(function: FunctionFacts, operation: str, *options: str) -> str:
    """One command of `aws lambda` about the function."""
    return aws(function, operation, "--function-name", function.name, *options)


def alias_of(function: FunctionFacts) -> str:
    """The alias by which the function is called, `live` before others; empty where callers use `$LATEST`."""
    seen = {*function.provisioned, *(function.setup.get("aliases") or ())}
    named = sorted(each for each in seen if not each.isdigit() and each != "$LATEST")
    return ALIAS if ALIAS in named else next(iter(named), "")


def configure(function: FunctionFacts, *options: str) -> tuple[str, ...]:
    """Change the configuration if nobody else has since it was read, wait until it is in force, and publish it.

    Callers of an alias get a version: they see the change once the alias points to a new one.
    """
    guard = ("--revision-id", function.setup["revision"]) if function.setup["revision"] else ()
    change = on(function, "update-function-configuration", *options, *guard)
    alias = alias_of(function)
    if not alias:
        return (change, settled(function))
    before = on(function, "get-alias", "--name", alias, "--query", "FunctionVersion", "--output", "text")
    publish = on(function, "publish-version", "--query", "Version", "--output", "text")
    return (
        f"PREVIOUS=$({before})",
        change,
        settled(function),
        f"VERSION=$({publish})",
        f'{on(function, "update-alias", "--name", alias)} --function-version "$VERSION"',
    )


def undo_configure(function: FunctionFacts, *options: str) -> tuple[str, ...]:
    """Point the alias, where there is one, to the version that it had, and put the configuration back."""
    alias = alias_of(function)
    back = f'{on(function, "update-alias", "--name", alias)} --function-version "$PREVIOUS"'
    return (
        *((back,) if alias else ()),
        on(function, "update-function-configuration", *options),
        settled(function),
    )


def settled(function: FunctionFacts) -> str:
    """Wait until an update is in force."""
    return aws(function, "function-updated-v2", "--function-name", function.name, service="lambda wait")


def resize(function: FunctionFacts, memory_mb: int) -> tuple[str, ...]:
    """Give the function another memory size."""
    return configure(function, "--memory-size", str(memory_mb))


def undo_resize(function: FunctionFacts) -> tuple[str, ...]:
    """Give the function the memory size back that it had."""
    return undo_configure(function, "--memory-size", str(function.setup["memory_mb"]))


def patches(function: FunctionFacts, serverless: str, sam: str, terraform: str) -> tuple[str, ...]:
    """The same change in the three usual kinds of infrastructure code: one setting each, `name: value`."""
    key = _key(function)
    logical = "".join(part.capitalize() for part in re.split(r"[^0-9A-Za-z]+", key)) + "Function"
    resource = resource_name(function)
    return (
        f"# serverless.yml\nfunctions:\n  {key}:\n    {serverless}",
        f"# template.yaml (SAM)\nResources:\n  {logical}:\n    Properties:\n      " + sam.replace("\n", "\n      "),
        f'# Terraform\nresource "aws_lambda_function" "{resource}" {{\n  {terraform}\n}}',
    )


def _key(function: FunctionFacts) -> str:
    return re.sub(r"^.*?-(?:dev|staging|stage|prod|production)-", "", function.name)


def resource_name(function: FunctionFacts) -> str:
    """What the function may be called in Terraform."""
    return re.sub(r"[^0-9A-Za-z]+", "_", _key(function))


def memory_patches(function: FunctionFacts, memory_mb: int) -> tuple[str, ...]:
    """Patches that set the memory size."""
    return patches(function, f"memorySize: {memory_mb}", f"MemorySize: {memory_mb}", f"memory_size = {memory_mb}")
