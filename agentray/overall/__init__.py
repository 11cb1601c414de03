"""The Overall score: the published table, the scores of our own runs, and the Overall of both."""
