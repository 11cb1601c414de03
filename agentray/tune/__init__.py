"""Sweeps: one training and one evaluation per η, on one tokenized corpus."""
