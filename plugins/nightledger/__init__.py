"""What the DAGs and commands of Nightledger call."""
