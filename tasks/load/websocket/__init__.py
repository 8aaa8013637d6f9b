"""WebSocket over the engine."""
