"""Independent counters that share neither code nor formula with the product they judge."""
