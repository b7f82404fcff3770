"""Servers of somebody else's that this installation starts and stops: Superset, MLflow, Evidently."""
