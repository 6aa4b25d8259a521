"""How well attribution methods find motion: retrieval, controls, counterfactuals, leaderboard."""
