"""Segments measured: do names hold over a year, who else could do it, how fast is a million assigned."""
