"""Socket.IO 4 over the engine."""
