"""Serves a model: a vLLM engine for rollouts, and an OpenAI-compatible endpoint on Ray Serve."""
