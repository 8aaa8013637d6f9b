"""Change, prove again, undo: builds the indexes of an approved plan and keeps what helped in real run time.

    plan.read → recover → for each step: preflight → measure → build → measure → decide → keep | remove

`decide` with its two witnesses, `plan`, `preflight.problems` and `watch` hold the rules and touch nothing;
docs/database-changes.md tells them in words.
"""
