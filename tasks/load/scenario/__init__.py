"""A user's own scenarios: plain Python on the familiar API."""
