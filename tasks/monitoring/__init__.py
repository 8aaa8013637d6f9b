"""What outlives a run: watching, rules, dashboards and notifications."""
