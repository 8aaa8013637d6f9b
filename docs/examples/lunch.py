"""A school's lunch: look at the menu, order, pay, collect the meal with the card. One journey, three parts."""

from __future__ import annotations

from tasks.load.scenario.scenario import User, from_csv

data = from_csv("children.csv", mode="random")


async def lunch(user: User) -> None:
    """Order → pay → RFID."""
    menu = await user.http.get("/menus/daily", params={"schoolId": user.data["school"], "date": "2026-03-02"})
    user.check(menu.is_success, "the menu is there")
    await user.think((0.05, 0.2))
    with user.group("order"):
        dish = {"menuItemId": user.data["dish"], "quantity": 1}
        order = await user.http.post("/orders", json={"studentId": user.data["student"], "items": [dish]})
        order.raise_for_status()
        number = order.json()["order"]["id"]
    with user.group("pay"):
        paid = await user.http.post("/payments/orders", json={"orderId": number})
        user.check(paid.is_success, "the payment is taken")
    with user.group("collect"):
        seen = await user.http.post("/rfid/verify", json={"cardNumber": user.data["card"]})
        user.check(seen.json()["success"], "the card is known")


async def browse(user: User) -> None:
    """A parent who only looks: the same file, another weight."""
    await user.http.get("/menus/plans", params={"schoolId": user.data["school"]})
    await user.think((0.05, 0.2))
    await user.http.get("/health", extensions={"name": "is it open"})
