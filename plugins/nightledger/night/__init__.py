"""A night as one transaction: what it is about, its lock, its steps, the audit, what it leaves to publish."""
