"""The Resource Groups Tagging API (GetResources), STS (GetCallerIdentity) and IAM (SimulatePrincipalPolicy)."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from typing import Any
from xml.sax.saxutils import escape

from deployments.local.aws import paging
from deployments.local.aws.corpus import Corpus
from deployments.local.aws.errors import AwsError
from deployments.local.aws.lambda_api import tags
from deployments.local.aws.names import ACCOUNT_ID

PAGE = 50
MOST = 100

Params = Mapping[str, Any]


class Tagging:
    """The tagged resources of the account: its functions."""

    def __init__(self, corpus: Corpus) -> None:
        self._resources = [(function.arn, tags(function)) for function in corpus.functions]

    def get_resources(self, params: Params) -> dict[str, Any]:
        """Resources whose tags match every filter, in pages of 50, or of ResourcesPerPage up to 100."""
        size = params.get("ResourcesPerPage", PAGE)
        if not 1 <= size <= MOST:
            raise AwsError("InvalidParameterException", f"ResourcesPerPage must be between 1 and {MOST}")
        request = {key: value for key, value in params.items() if key not in {"PaginationToken", "ResourcesPerPage"}}
        found = [(arn, own) for arn, own in self._resources if _matches(arn, own, params)]
        try:
            begin = int(paging.redeem(params["PaginationToken"], request)) if params.get("PaginationToken") else 0
        except ValueError as error:
            raise AwsError("PaginationTokenExpiredException", "The pagination token is not valid.") from error
        page = found[begin : begin + size]
        more = begin + size < len(found)
        return {
            "PaginationToken": paging.issue(begin + size, request) if more else "",
            "ResourceTagMappingList": [
                {"ResourceARN": arn, "Tags": [{"Key": key, "Value": value} for key, value in own.items()]}
                for arn, own in page
            ],
        }


def _matches(arn: str, own: Mapping[str, str], params: Params) -> bool:
    types = params.get("ResourceTypeFilters") or []
    if types and not {"lambda", "lambda:function"} & set(types):
        return False
    wanted = params.get("ResourceARNList") or []
    if wanted and arn not in wanted:
        return False
    return all(
        each["Key"] in own and (not each.get("Values") or own[each["Key"]] in each["Values"])
        for each in params.get("TagFilters") or []
    )


def caller_identity(request_id: str) -> str:
    """The XML answer of STS GetCallerIdentity: every caller is the same user of the one account."""
    return (
        '<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><GetCallerIdentityResult>'
        f"<Arn>arn:aws:iam::{ACCOUNT_ID}:user/local</Arn><UserId>AIDALOCALPLATFORM0000</UserId>"
        f"<Account>{ACCOUNT_ID}</Account></GetCallerIdentityResult><ResponseMetadata><RequestId>{request_id}"
        "</RequestId></ResponseMetadata></GetCallerIdentityResponse>"
    )


def simulation(actions: Sequence[str], allowed: Container[str], request_id: str) -> str:
    """The XML answer of IAM SimulatePrincipalPolicy: what is not allowed is denied by saying nothing of it."""
    members = "".join(
        f"<member><EvalActionName>{escape(action)}</EvalActionName><EvalResourceName>*</EvalResourceName>"
        f"<EvalDecision>{'allowed' if action in allowed else 'implicitDeny'}</EvalDecision></member>"
        for action in actions
    )
    return (
        '<SimulatePrincipalPolicyResponse xmlns="https://iam.amazonaws.com/doc/2010-05-08/">'
        "<SimulatePrincipalPolicyResult><IsTruncated>false</IsTruncated>"
        f"<EvaluationResults>{members}</EvaluationResults></SimulatePrincipalPolicyResult>"
        f"<ResponseMetadata><RequestId>{request_id}</RequestId></ResponseMetadata></SimulatePrincipalPolicyResponse>"
    )
