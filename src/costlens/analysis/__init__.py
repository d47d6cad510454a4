"""Graph → frozen results: totals, rows, coverage, memory."""
