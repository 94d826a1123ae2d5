"""Hypothesis for these tests: no limit on the time of one example, since machines are shared."""

from hypothesis import settings

settings.register_profile("resilience", deadline=None)
settings.load_profile("resilience")
