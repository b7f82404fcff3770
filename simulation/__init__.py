"""A synthetic bank with a known truth: files as banks send them; the hidden state is kept apart."""
