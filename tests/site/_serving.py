"""A folder served on localhost, for tests and for `check_site.py`."""

import contextlib
import http.server
import threading


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    """Serves files, and logs nothing."""

    def log_message(self, *arguments):
        pass


@contextlib.contextmanager
def serve(handler):
    """Address of a server with this handler, while it runs."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
