"""What a scenario file imports: a user's own load test in plain Python (docs/scenarios.md).

```python
from tasks.load.scenario.scenario import User, from_csv

data = from_csv("cards.csv", mode="random")


async def lunch(user: User) -> None:
    menu = await user.http.get("/menus/daily")
    user.check(menu.json()["items"], "the menu has dishes")
    await user.think((1, 3))
    await user.http.post("/rfid/verify", json={"cardNumber": user.data["card"]})
```
"""

from __future__ import annotations

from tasks.load.scenario.feeder import Feeder, UsedUpError, from_csv, from_rows
from tasks.load.scenario.user import User

__all__ = ["Feeder", "UsedUpError", "User", "from_csv", "from_rows"]
