"""`hasivu-perf load URL`: one target, one verdict."""
