"""Recipes: whole loops, from the first rollout to the report, in one file."""
