"""The application's handlers, by the part of the platform that they belong to; each module lists its ROUTES."""

from __future__ import annotations

from deployments.local.app.http import RouteEntry
from deployments.local.app.routes import (
    analytics,
    auth,
    menus,
    mobile,
    orders,
    payments,
    rfid,
    rfid_delivery,
    subscriptions,
    system,
    users,
)

ALL: tuple[RouteEntry, ...] = (
    *rfid.ROUTES,
    *rfid_delivery.ROUTES,
    *orders.ROUTES,
    *menus.ROUTES,
    *users.ROUTES,
    *payments.ROUTES,
    *mobile.ROUTES,
    *subscriptions.ROUTES,
    *analytics.ROUTES,
    *auth.ROUTES,
    *system.ROUTES,
)
"""Every route: method, path template, handler. Routes are tried in this order, the hottest first."""
