"""Formats of conversation files: how records of others are read and written."""
