"""The httpx2 transport, against real sockets."""
