"""The Overall score: the published table, the scores of our own runs, and where these stand in it."""
