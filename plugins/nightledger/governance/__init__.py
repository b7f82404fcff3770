"""Which version of a model may score: the ledger of decisions, promotion, demotion."""
