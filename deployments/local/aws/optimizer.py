"""Compute Optimizer: not switched on, as in most accounts, or (`--compute-optimizer`) judging the planted sizes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from deployments.local.aws.corpus import Corpus
from deployments.local.aws.errors import AwsError
from deployments.local.aws.planted import planted

Params = Mapping[str, Any]

DAYS = 14.0


class ComputeOptimizer:
    """Recommendations in the documented shape; the sizes are Compute Optimizer's part of the play, not computed."""

    def __init__(self, corpus: Corpus, *, enrolled: bool) -> None:
        self._corpus = corpus
        self._enrolled = enrolled

    def recommendations(self, _params: Params) -> dict[str, Any]:
        """One over-provisioned function, one under-provisioned."""
        if not self._enrolled:
            raise AwsError("OptInRequiredException", "Aws account is not registered for recommendation.", status=403)
        judged = (
            (planted("memory-oversized").function, "NotOptimized", "MemoryOverprovisioned", 1024, 0.02),
            (planted("memory-undersized").function, "NotOptimized", "MemoryUnderprovisioned", 1536, 0.0),
        )
        return {"lambdaFunctionRecommendations": [self._one(*each) for each in judged]}

    def _one(self, key: str, finding: str, reason: str, memory_mb: int, saving: float) -> dict[str, Any]:
        function = next(each for each in self._corpus.functions if each.key == key)
        return {
            "functionArn": f"{function.arn}:$LATEST",
            "functionVersion": "$LATEST",
            "accountId": function.arn.split(":")[4],
            "currentMemorySize": function.memory_mb,
            "numberOfInvocations": len(self._corpus.invocations[key].start),
            "lookbackPeriodInDays": DAYS,
            "finding": finding,
            "findingReasonCodes": [reason],
            "memorySizeRecommendationOptions": [
                {
                    "rank": 1,
                    "memorySize": memory_mb,
                    "savingsOpportunity": {
                        "savingsOpportunityPercentage": 0.0,
                        "estimatedMonthlySavings": {"currency": "USD", "value": saving},
                    },
                }
            ],
        }
