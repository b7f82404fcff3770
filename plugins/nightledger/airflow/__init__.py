"""Everything that knows Airflow: its log-in, roles, processes, tasks and the commands that call it."""
