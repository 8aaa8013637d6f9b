"""The parameters of a flow run: what the form in the Prefect UI asks for. They never hold a secret."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import BaseModel, ConfigDict, Field

from deployments.config import Profile


class ValidationParams(BaseModel):
    """What to validate, and where the results go."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    profile: Profile = Field(default="development", description="which environment and load")
    base: Profile = Field(default="development", description="the environment behind 'quick' and 'custom'")
    components: tuple[str, ...] = Field(default=(), description="only these components; empty: all of the profile")
    overrides: Mapping[str, str] = Field(default_factory=dict, description="fields, e.g. users: 200")
    release: str | None = Field(default=None, description="the release that is validated")
    output: str = Field(default=".", description="folder or s3:// bucket of the results")
    run: str | None = Field(default=None, description="name of the run; by default made from the flow run")
    local: bool = Field(default=False, description="the embedded platform stands in for the environment")
