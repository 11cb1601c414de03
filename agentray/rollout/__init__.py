"""Rollouts: policies act in environments, massively in parallel; every attempt has exactly one result."""
