"""The contamination report: every training source against every test set, on Ray Data."""
