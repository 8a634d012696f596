"""Policy optimisation against predicted reward: PPO, TRPO, A2C over shared advantage code."""
