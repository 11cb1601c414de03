"""Scores of a policy on tasks it has not trained on, their uncertainty, and the page that shows them."""
