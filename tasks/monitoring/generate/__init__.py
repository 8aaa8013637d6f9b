"""Prometheus rules and their tests, made from thresholds.toml. Pure."""
