"""A token of the environment: `[scenario.variables] token = "${STAGING_API_TOKEN}"` in the environment's file."""

from __future__ import annotations

from tasks.load.scenario.scenario import User


async def on_start(user: User) -> None:
    """Send the token with every request of this user."""
    user.http.headers["authorization"] = f"Bearer {user.variables['token']}"


async def status(user: User) -> None:
    """One request."""
    (await user.http.get("/status")).raise_for_status()
