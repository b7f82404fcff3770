"""Whether life events can be ranked better than by the rules: `python -m ml.goals`."""
