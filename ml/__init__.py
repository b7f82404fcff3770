"""Models: datasets, training, registry, promotion, scoring and their reasons."""

import os

# The threads of XGBoost and scikit-learn wait for each other by spinning unless told before they are loaded.
# Beside other work that makes them many times slower (at a load of 10 on two cores: 65 s against 3 s).
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
