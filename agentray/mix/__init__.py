"""The mixture: which conversations, as which tokens, in which proportion training draws from."""
