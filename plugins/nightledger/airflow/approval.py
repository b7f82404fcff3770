"""Asks a person in Airflow whether a version of a model may score."""

from typing import Any

from airflow.providers.standard.operators.hitl import ApprovalOperator, HITLOperator
from airflow.sdk import Context


class PromotionApproval(ApprovalOperator):
    """Waits, holding no slot, for Approve or Reject.

    The answer, also a rejection and the lack of one, goes to the task after this one, which writes it down:
    `ApprovalOperator` itself would skip that task.
    """

    def execute_complete(self, context: Context, event: dict[str, Any]) -> Any:
        """Hand the answer on."""
        return HITLOperator.execute_complete(self, context, event)
