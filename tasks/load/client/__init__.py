"""httpx's API on the engine."""
