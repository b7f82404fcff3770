"""Pulls of paged JSON: what a contract says of one, its pages, its requests, and how they become files."""
