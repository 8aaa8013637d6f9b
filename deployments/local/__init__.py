"""A whole HASIVU-like platform on the loopback, generated from a seed; see docs/local-platform.md."""
