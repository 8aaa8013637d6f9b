"""Programs that a run starts for itself and that never outlive it."""
