"""How much training on a selection helped: motion shown, and retraining as ground truth."""
