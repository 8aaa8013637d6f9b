"""The lambda component: collects, measures, advises and checks by the parts beside this file."""

from __future__ import annotations

from collections.abc import Sequence

from deployments.config import RunConfig, Target
from storage.records import Collected, ComponentId, Finding, Measurement
from tasks.components.base import Check, CollectContext, Rights, Samples
from tasks.components.lambda_functions import doctor, rights
from tasks.components.lambda_functions.advise import advise
from tasks.components.lambda_functions.collect import collect
from tasks.components.lambda_functions.facts import Facts, facts_of
from tasks.components.lambda_functions.measure import METRICS, measure


class LambdaComponent:
    """AWS Lambda functions of the platform, over the days that the environment's file says."""

    id = ComponentId.LAMBDA
    title = "Lambda functions"
    metrics = METRICS

    def collect(self, context: CollectContext) -> Collected:
        """Read inventory, metrics and REPORT lines; `NotMeasuredError` where the account cannot be read."""
        return collect(context)

    def measure(self, samples: Samples, config: RunConfig) -> list[Measurement]:
        """The component's own figures, and those of each function."""
        return measure(_facts(samples, config), config.environment.lambda_functions)

    def advise(self, samples: Samples, measurements: Sequence[Measurement], config: RunConfig) -> list[Finding]:
        """What should be done about the functions."""
        return advise(_facts(samples, config), measurements, config.environment.lambda_functions)

    def check(self, config: RunConfig, target: Target) -> list[Check]:
        """Credentials and permissions, each by its smallest call."""
        return doctor.check(config.environment.lambda_functions, target)

    def rights(self, config: RunConfig, target: Target) -> Rights:  # noqa: ARG002 - the account has no settings
        """What the credentials may do beyond reading, where they may ask for it."""
        return rights.look(target)


def _facts(samples: Samples, config: RunConfig) -> Facts:
    return facts_of(samples, config.environment.lambda_functions)


LAMBDA = LambdaComponent()
"""The one instance."""
