"""The components of the platform; `COMPONENTS` is the one registration."""

from __future__ import annotations

from storage.records import ComponentId
from tasks.components.api import API
from tasks.components.base import Component
from tasks.components.cache import CACHE
from tasks.components.database import DATABASE
from tasks.components.lambda_functions import LAMBDA
from tasks.components.rfid import RFID
from tasks.components.websocket import WEBSOCKET

COMPONENTS: dict[ComponentId, Component] = {
    component.id: component for component in (DATABASE, LAMBDA, API, WEBSOCKET, CACHE, RFID)
}
