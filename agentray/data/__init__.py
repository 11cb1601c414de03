"""Stored trajectories and what is made of them: store, filters, mixture, samples."""
