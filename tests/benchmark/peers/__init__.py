"""The same work as others do it: a script, and what it is installed from, for each."""
