"""Pressure: one figure for how near a process is to what it can do, 1.0 being all of it.

The largest of four signals, since any one of them alone is blind: a process that waits burns no
CPU, a blocked loop shows on no worker, a busy worker pool leaves the CPU idle, and an average over
a second sees a burst when its queue has long filled. Adding them up would call four half-used
resources overloaded.
Source: aegis takes the CPU (CPUThreshold 800 of 1000); the lag is the idea of Node's
under-pressure and of Netflix's "server utilisation" shedding; the queue's wait is the overload
signal of DAGOR (Zhou et al., "Overload Control for Scaling WeChat Microservices", SoCC 2018, 4.1).
Not handled: smoothing; whoever samples a signal decides over which time.
"""

LAG_AT_FULL_S = 0.05  # a loop 50 ms late has lost a twentieth of a 1 s budget on this hop alone

# Half of a 1 s budget: whoever waits longer has little left to be served in. DAGOR takes 20 ms of a
# 500 ms timeout, where a queue before a service is a fault; before a station it is its work.
WAIT_AT_FULL_S = 0.5


def combine(cpu_ratio: float, lag_s: float, busy_ratio: float, wait_s: float = 0.0) -> float:
    """Return the pressure, >= 0; above 1 when a signal is beyond its full mark.

    Args:
        cpu_ratio: CPU used over what the process may use, 0..1.
        lag_s: How late the event loop runs its timers, seconds.
        busy_ratio: Share of workers busy, 0..1.
        wait_s: How long a request that comes now will wait for a worker, seconds.
    """
    return max(0.0, cpu_ratio, lag_s / LAG_AT_FULL_S, busy_ratio, wait_s / WAIT_AT_FULL_S)
