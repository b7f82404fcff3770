"""dbt in this process: the project, what of it a night must build, and running it."""
