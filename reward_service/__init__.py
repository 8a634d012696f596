"""Comparison database, reward-model ensemble, continuous training."""
