"""What the pipeline costs beside the model: `python -m tests.benchmark`, or one of them by its name."""
