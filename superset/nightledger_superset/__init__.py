"""Superset on what was published: dashboards, roles and reports are text in this folder."""
