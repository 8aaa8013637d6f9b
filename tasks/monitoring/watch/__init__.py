"""Continuous, light observation of one environment: probes, figures, alerts, `/metrics`.

probes ─► board ─► exporter (Prometheus), alarm (alerts by deployments/thresholds.toml), view (terminal)
Each probe has a thread of its own, so that a target that hangs holds nobody up; `/metrics` reads the board alone.
`names`, `window`, `rules` and `alarm` are pure.
"""
