"""What Nightledger adds to Airflow's UI. Every component imports this file, so it stays light."""

from functools import cached_property
from typing import Any

from airflow.plugins_manager import AirflowPlugin

from nightledger.airflow.deadline import PublishBy


class NightledgerPlugin(AirflowPlugin):
    """A tab on the page of a DAG run: what dbt and ingestion did in it."""

    name = "nightledger"
    deadline_references = [PublishBy]  # noqa: RUF012 - the base class declares it like this
    external_views = [  # noqa: RUF012 - the base class declares it like this
        {
            "name": "Nights",
            "href": "/nightledger/morning",
            "destination": "nav",
            "url_route": "nightledger-morning",
        },
        {
            "name": "dbt nodes and files",
            "href": "/nightledger/runs/{DAG_ID}/{RUN_ID}",
            "destination": "dag_run",
            "url_route": "nightledger-run",
        },
        {
            "name": "Cases",
            "href": "/nightledger/cases",
            "destination": "nav",
            "url_route": "nightledger-cases",
        },
        {
            "name": "Incidents",
            "href": "/nightledger/incidents",
            "destination": "nav",
            "url_route": "nightledger-incidents",
        },
        {
            "name": "Drift reports",
            "href": "/nightledger/reports",
            "destination": "nav",
            "url_route": "nightledger-reports",
        },
    ]

    @cached_property
    def fastapi_apps(self) -> list[dict[str, Any]]:  # type: ignore[override] # read once, when needed
        """The pages; only the API server asks for them."""
        from nightledger.pages import app

        return [{"app": app, "url_prefix": "/nightledger", "name": "Nightledger"}]
