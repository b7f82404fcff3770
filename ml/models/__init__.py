"""The use cases: a YAML each, and where the answer is no row of the feed `labels`, a module of SQL."""
