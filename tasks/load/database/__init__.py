"""Timed reads of a database, in read-only sessions."""
