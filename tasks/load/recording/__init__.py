"""Samples: recorded while load runs, exact figures from them."""
