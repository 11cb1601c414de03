"""Scores of a policy on tasks it has not trained on, and their uncertainty."""
