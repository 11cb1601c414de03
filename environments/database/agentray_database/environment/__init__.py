"""The environment: one table in a sandbox that answers as MySQL does, its episodes and their grading."""
