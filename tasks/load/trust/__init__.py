"""Whether a load generator can be believed, and what stops it."""
