"""Model servers that the tests and benchmarks ask: see each module for what is real about it and what is not."""
