"""Commands for people who change the warehouse: compare, build privately, and trace a number to its files."""
