"""The order of a customer's likely life events: learnt where that is better than the rules."""
