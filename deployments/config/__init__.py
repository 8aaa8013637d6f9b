"""Reads and validates environments and thresholds; everything that a run may do is decided here.

An environment file names variables, never their values; `resolve_target` reads the values into `SecretStr`. Every
problem of a file is reported at once, one line each, with file, field and remedy.
"""

from __future__ import annotations

from deployments.config.database import DatabaseSettings, IndexAdviceSettings, ReadStatement
from deployments.config.environment import Environment, HistorySettings, IdentitySettings, Retention, Scale, Variables
from deployments.config.files import (
    ENVIRONMENTS,
    OWN_ENVIRONMENTS,
    THRESHOLDS,
    environments_folder,
    known,
    load_environment,
    load_gate,
    load_thresholds,
    problems_of,
)
from deployments.config.lambda_functions import LambdaSettings
from deployments.config.realtime import (
    ApiSettings,
    CacheFamily,
    CacheSettings,
    Endpoint,
    RfidSettings,
    WebsocketSettings,
)
from deployments.config.run import PROFILES, Profile, RunConfig, build_config
from deployments.config.target import (
    NEEDS,
    Target,
    header_variables,
    missing_variables,
    needs_platform,
    resolve_target,
)
from deployments.config.values import ValueRange

__all__ = [
    "ENVIRONMENTS",
    "NEEDS",
    "OWN_ENVIRONMENTS",
    "PROFILES",
    "THRESHOLDS",
    "ApiSettings",
    "CacheFamily",
    "CacheSettings",
    "DatabaseSettings",
    "Endpoint",
    "Environment",
    "HistorySettings",
    "IdentitySettings",
    "IndexAdviceSettings",
    "LambdaSettings",
    "Profile",
    "ReadStatement",
    "Retention",
    "RfidSettings",
    "RunConfig",
    "Scale",
    "Target",
    "ValueRange",
    "Variables",
    "WebsocketSettings",
    "build_config",
    "environments_folder",
    "header_variables",
    "known",
    "load_environment",
    "load_gate",
    "load_thresholds",
    "missing_variables",
    "needs_platform",
    "problems_of",
    "resolve_target",
]
