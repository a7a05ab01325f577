"""Numbers kept and told: history, metrics, advice."""
