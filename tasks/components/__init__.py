"""The components of the platform; `COMPONENTS` is the one registration."""
