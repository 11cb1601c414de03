"""Stored trajectories: journal, shards, and what reads them."""
