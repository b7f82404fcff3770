"""Evidently's reports for people, drawn after publication; docs/reference/reports.md."""
