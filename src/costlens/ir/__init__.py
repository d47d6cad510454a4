"""The graph: an immutable list of op calls over named values, every shape concrete."""
