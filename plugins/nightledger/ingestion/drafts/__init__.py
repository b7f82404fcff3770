"""Drafts of source contracts: what a sample looks like, and which columns play which role."""
