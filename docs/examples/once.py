"""Cards that may be presented once: the load ends when the last one is used."""

from __future__ import annotations

from tasks.load.scenario.scenario import User, from_rows

data = from_rows([{"card": f"RFID-{n:08d}"} for n in range(1, 41)], mode="once")


async def present(user: User) -> None:
    """One child at the reader."""
    answer = await user.http.post("/rfid/verify", json={"cardNumber": user.data["card"]})
    user.check(answer.json()["success"], "the card is known")
