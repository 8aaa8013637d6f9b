"""Where a run happens: environments, thresholds, the embedded platform, the Prefect server."""
