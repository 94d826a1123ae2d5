"""What can go wrong around the lab, as one line for a person and one exit code for a script.

Why: a wrong flag and an absent engine are no bugs, so nobody should read a traceback for them.
Whoever runs a process or a command catches ``LabError``, prints the text and leaves with
``exit_code``.
Not handled: errors of requests; those are ``resilience.errors``.
"""

EXIT_USAGE = 2
EXIT_ENVIRONMENT = 3


class LabError(Exception):
    """Say what happened, the values, what to do; ``exit_code`` is the process's answer."""

    exit_code = 1


class ConfigError(LabError):
    """A file, flag, variable or control entry is wrong."""

    exit_code = EXIT_USAGE


class LabEnvironmentError(LabError):
    """Something around us is missing or busy: an engine, a port, the control plane."""

    exit_code = EXIT_ENVIRONMENT
