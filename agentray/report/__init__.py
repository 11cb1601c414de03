"""The report stage: `report.json`, and one page with every trajectory behind its numbers."""
