"""Who asks for a page, and whether they may.

The imports from `airflow.api_fastapi` are Airflow's internals, not a stable interface: they stand in this
file only, and a test with the real application guards what they promise.
"""

from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity
from airflow.api_fastapi.core_api.security import GetUserDep, requires_access_dag, requires_authenticated
from fastapi import Depends

Person = GetUserDep
"""Annotation of a parameter of a route: who is logged in; `get_name()` is the name to write down."""

logged_in = Depends(requires_authenticated())
may_read_runs = Depends(requires_access_dag("GET", DagAccessEntity.RUN))
