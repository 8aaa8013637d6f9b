"""What AWS credentials may do beyond reading: IAM's own simulation, which acts on nothing; else "not verified".

https://docs.aws.amazon.com/IAM/latest/APIReference/API_SimulatePrincipalPolicy.html
"""

from __future__ import annotations

import re

from deployments.config import Target
from storage.errors import NotMeasuredError
from tasks.components.base import Right, Rights
from tasks.components.lambda_functions.account import Account, DeniedError

ACTIONS = (
    "lambda:UpdateFunctionConfiguration",
    "lambda:UpdateFunctionCode",
    "lambda:DeleteFunction",
    "lambda:InvokeFunction",
    "lambda:PutFunctionConcurrency",
    "lambda:PutProvisionedConcurrencyConfig",
    "lambda:AddPermission",
    "apigateway:DELETE",
    "apigateway:PATCH",
    "events:DisableRule",
    "logs:DeleteLogGroup",
    "cloudwatch:DeleteAlarms",
    "rds:DeleteDBInstance",
    "rds:ModifyDBInstance",
    "elasticache:DeleteCacheCluster",
    "secretsmanager:GetSecretValue",
    "iam:CreateAccessKey",
    "iam:AttachRolePolicy",
    "iam:PassRole",
    "sts:AssumeRole",
)
"""What would change or stop the platform, or gain further rights."""

QUESTION = "iam:SimulatePrincipalPolicy"
_DEADLINE_S = 15.0
_ASSUMED = re.compile(r"arn:(?P<part>[^:]+):sts::(?P<account>\d+):assumed-role/(?P<role>[^/]+)/")


def look(target: Target) -> Rights:
    """Ask IAM; where it may not be asked, that is what is said. `NotMeasuredError` where there are no credentials."""
    account = Account(target, _DEADLINE_S, attempts=2)
    try:
        caller = str(account.call("sts", "GetCallerIdentity")["Arn"])
        who = f"{caller.rpartition(':')[2]} in AWS"
        if caller.endswith(":root"):
            return Rights(who, (Right("root", "use the credentials of a role that reads (docs/lambda-policy.json)"),))
        try:
            answer = account.call("iam", "SimulatePrincipalPolicy", **_question(principal(caller)))
        except DeniedError:
            return Rights(who, unverified=(f"what its policies allow besides reading: {QUESTION} is denied",))
        except NotMeasuredError as error:
            return Rights(who, unverified=(f"what its policies allow besides reading: {error}",))
        results = {one["EvalActionName"]: one["EvalDecision"] for one in answer["EvaluationResults"]}
        unanswered = [action for action in ACTIONS if action not in results]
        return Rights(
            who,
            tuple(Right(action, _statement(action)) for action in ACTIONS if results.get(action) == "allowed"),
            (f"whether its policies allow {', '.join(unanswered)}: IAM did not say",) if unanswered else (),
        )
    finally:
        account.close()


def principal(arn: str) -> str:
    """Whose policies are simulated: of a session those of its role (whose path is not in the session's name)."""
    found = _ASSUMED.match(arn)
    return f"arn:{found['part']}:iam::{found['account']}:role/{found['role']}" if found else arn


def _question(arn: str) -> dict[str, object]:
    return {"PolicySourceArn": arn, "ActionNames": list(ACTIONS), "MaxItems": 100}


def _statement(action: str) -> str:
    return f'remove it from its policies, or add {{"Effect": "Deny", "Action": ["{action}"], "Resource": "*"}}'
