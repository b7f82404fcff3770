"""The kinds of things that a person is told, with what to do and the runbook: they stand in `alerts.yml`."""

from functools import cache
from pathlib import Path

import yaml
from pydantic import BaseModel, ConfigDict

from nightledger.settings import PROJECT

RUNBOOKS = PROJECT / "docs" / "runbooks"
PAGE = "/nightledger/runbooks"
"""Where Airflow's address shows the runbooks."""


class Alert(BaseModel):
    """One kind of thing that a person is told."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: str
    title: str
    do: str
    """What to do, in one to three sentences."""
    runbook: str
    """`page#section` of docs/runbooks."""
    rule: str
    """Its alert in Prometheus."""
    urgent: bool = True
    """Whether somebody is woken for it."""
    errors: tuple[str, ...] = ()
    """Names of the errors by which a failed stage is told to be of this kind; empty text: any."""

    @property
    def link(self) -> str:
        """Path of its runbook at Airflow's address."""
        return f"{PAGE}/{self.runbook}"


@cache
def alerts() -> dict[str, Alert]:
    """Every kind by its name, in the order in which errors are compared."""
    content = yaml.safe_load(Path(__file__).with_suffix(".yml").read_text())
    return {row["kind"]: Alert(**row) for row in content}


def of_error(error: str) -> Alert:
    """The kind of a failure, by the text `<name of the error>: <message>` that its stage recorded."""
    name = error.partition(":")[0].rpartition(".")[2].strip()
    if name == "NightError" and "disk" in error:
        return alerts()["machine"]
    fitting = (alert for alert in alerts().values() if name in alert.errors)
    return next(fitting, alerts()["other"])
