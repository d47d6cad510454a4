"""What one op call costs: a small pure rule per op, and the op vector that they return."""
