"""What people are told of nights: the morning's state, deadlines, alerts, metrics and notifications."""
