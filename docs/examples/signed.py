"""Signed requests (API Gateway with IAM): `[scenario.sigv4] region = "ap-south-1"` in the environment's file."""

from __future__ import annotations

from tasks.load.scenario.scenario import User


async def order(user: User) -> None:
    """Nothing to do here: every request is signed, its body included."""
    await user.http.get("/menus/daily", params={"schoolId": "7"})
    await user.http.post("/orders", json={"studentId": "9"})
