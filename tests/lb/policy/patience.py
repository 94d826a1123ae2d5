"""How hypothesis looks at pure code here: a machine that stands still a second fails nothing."""

from hypothesis import HealthCheck, settings

PATIENT = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
