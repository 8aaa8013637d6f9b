"""The probes: each looks at one target, lightly, and reads only."""
