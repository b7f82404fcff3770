"""Asks a person in Airflow whether a version of a model may score."""

from collections.abc import Collection
from typing import Any

from airflow.providers.standard.operators.hitl import ApprovalOperator, HITLOperator
from airflow.sdk import Context
from airflow.sdk.exceptions import AirflowSkipException


class PromotionApproval(ApprovalOperator):
    """Waits, holding no slot, for Approve or Reject; skipped when there is nothing to ask.

    The answer, also a rejection and the lack of one, goes to the task after this one, which writes it down:
    `ApprovalOperator` itself would skip that task.
    """

    template_fields: Collection[str] = (*ApprovalOperator.template_fields, "is_wanted")

    def __init__(self, *, is_wanted: Any, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.is_wanted = is_wanted

    def execute(self, context: Context) -> Any:
        """Ask, if somebody is to be asked."""
        if not self.is_wanted:
            raise AirflowSkipException("Nobody has to approve this.")
        return super().execute(context)

    def execute_complete(self, context: Context, event: dict[str, Any]) -> Any:
        """Hand the answer on."""
        return HITLOperator.execute_complete(self, context, event)
