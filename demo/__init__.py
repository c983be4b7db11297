"""The demo: a real S3 server, a real Airflow, real media, and the main job from end to end (`make demo`)."""
