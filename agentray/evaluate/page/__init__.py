"""The report page's parts as they are sent: its frame, its styles, the script of its trajectory browser."""
