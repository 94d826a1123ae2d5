"""Answer GET with a greeting: HTTP/1.1 on port 8000 is all that the lab wants of a service."""

import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Hello(BaseHTTPRequestHandler):
    """Greet whoever asks, l7's health checks too."""

    protocol_version = "HTTP/1.1"
    wbufsize = -1  # head and body in one write

    def do_GET(self) -> None:
        """Say which path was asked for."""
        body = f"hello, {self.path}\n".encode()
        self.send_response_only(200)  # l7 checks often: no log line for each
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


ThreadingHTTPServer((sys.argv[1], 8000), Hello).serve_forever()
