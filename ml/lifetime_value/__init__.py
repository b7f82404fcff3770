"""What a customer will still bring in: how often they come (BG/NBD), and what each time (Gamma-Gamma)."""
