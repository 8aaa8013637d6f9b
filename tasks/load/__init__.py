"""The load engine: schedules, wires, executors and the verdict on the generator itself."""
