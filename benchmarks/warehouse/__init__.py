"""The warehouse beside bare DuckDB, pandas and Polars; writes docs/reference/warehouse-speed.md."""
