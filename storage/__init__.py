"""What a run leaves behind: records, Parquet files, run folders and history."""
