"""Seeded damage to every kind of media, and what shotlog makes of it. `make fuzz`, tests/unit/decode/test_fuzz.py."""
