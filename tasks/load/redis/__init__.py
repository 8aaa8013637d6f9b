"""Redis over the engine: what the server does and what the application sees."""
