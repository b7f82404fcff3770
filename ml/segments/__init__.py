"""Segments: customers who are alike, under names that stay; see `ml.families`."""
