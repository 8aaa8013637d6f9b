"""The components of the platform; `COMPONENTS` is the one registration."""

from __future__ import annotations

from storage.records import ComponentId
from tasks.components.base import Component

COMPONENTS: dict[ComponentId, Component] = {}
