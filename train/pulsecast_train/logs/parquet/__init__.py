"""A Parquet file is tried in a child process before it is read: over a damaged one polars may end its process."""
