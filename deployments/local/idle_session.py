"""The planted session that is idle in a transaction: a batch that locked one menu plan and forgot to commit.

Run as `python -m deployments.local.idle_session` with DATABASE_URL; it ends with its guardian.
"""

from __future__ import annotations

import os
import signal

import psycopg

from deployments.local.defects import IDLE_APPLICATION
from deployments.local.identity import ROWS, key

MENU_PLAN = key("menu_plan", ROWS["menu_plan"])
"""The oldest plan, which nothing else writes to."""


def main() -> None:
    """Open the transaction, then wait for the end."""
    with psycopg.connect(os.environ["DATABASE_URL"], application_name=IDLE_APPLICATION) as connection:
        connection.execute("UPDATE menu_plans SET updated_at = updated_at WHERE id = %s", (MENU_PLAN,))
        while True:
            signal.pause()


if __name__ == "__main__":
    main()
