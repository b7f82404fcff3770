"""Which merchant stands behind a descriptor: what SQL cannot do, and how well all of it works."""
