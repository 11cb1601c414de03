"""Steps over stored trajectories: keep, score again, change; one stage that chains and counts them."""
