"""General benchmarks: what is asked, how the answers are got, and how they are scored."""
