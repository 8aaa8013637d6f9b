"""Users that sign in once, before the load, and keep their session from journey to journey."""

from __future__ import annotations

from tasks.load.scenario.scenario import User, from_rows

ACCOUNTS = from_rows([{"email": f"user{n}@example.test", "password": f"password-{n}"} for n in range(1, 51)])


async def on_start(user: User) -> None:
    """Sign in: a cookie is kept by the client itself, a token becomes a header of all its requests."""
    answer = await user.http.post("/auth/login", json=dict(user.draw(ACCOUNTS)))
    answer.raise_for_status()
    user.http.headers["authorization"] = f"Bearer {answer.json()['token']}"


async def orders(user: User) -> None:
    """What somebody who is signed in looks at."""
    answer = await user.http.get("/orders", params={"limit": 5})
    user.check(answer.json()["orders"], "there are orders")
