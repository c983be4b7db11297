"""The HTTP API: a thin door over pipeline.steps."""
