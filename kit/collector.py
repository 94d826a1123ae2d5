"""Python's garbage collector, told what a server's heap looks like.

Why: by default the collector looks at the young objects after every 700 allocations, and now and
then at all of them, modules and classes included. In a server nearly everything dies by reference
count with its request, so those looks find nothing and cost 7 % of the L7 proxy's CPU (perf, 64
connections, small answers). What is there after the start stays until the end, so it is put aside
(``freeze``), and the young are looked at less often.
Source: CPython, library reference of ``gc`` (``freeze``, ``set_threshold``); Instagram
Engineering, "Copy-on-write friendly Python garbage collection" (2017).
"""

import gc

YOUNG_OBJECTS = 10_000  # about what 300 requests in flight hold; CPython's default is 700
OLDER_LOOKS = (10, 10)  # CPython's own


def settle() -> None:
    """Call once, when everything that lives as long as the process has been made."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS, *OLDER_LOOKS)
