"""How much training on a selection helped: video metrics, motion shown, retraining as truth."""
