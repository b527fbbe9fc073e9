"""A tiny MNIST served by a local HTTP server that misbehaves on request."""

import gzip
import hashlib
import struct
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

import numpy as np
import pytest

from coursekit.data import download

CLASSES = tuple("0123456789")


def idx_gz(values):
    """`values` (uint8) as the content of an IDX gz file; mtime=0 makes the bytes the same every time."""
    header = bytes([0, 0, 8, values.ndim]) + struct.pack(f">{values.ndim}I", *values.shape)
    return gzip.compress(header + values.tobytes(), mtime=0)


@pytest.fixture(scope="session")
def tiny():
    """Three train and two test images of noise: arrays, file contents by name, and registry entries without mirrors."""
    rng = np.random.default_rng(0)
    arrays, contents, splits = {}, {}, {}
    for split, prefix, n in (("train", "train", 3), ("test", "t10k", 2)):
        images = rng.integers(0, 256, (n, 28, 28), dtype=np.uint8)
        labels = rng.integers(0, 10, n, dtype=np.uint8)
        arrays[split] = images, labels
        named = {f"{prefix}-images-idx3-ubyte.gz": idx_gz(images), f"{prefix}-labels-idx1-ubyte.gz": idx_gz(labels)}
        contents |= named
        splits[split] = tuple(
            download.RemoteFile(name, len(content), hashlib.sha256(content).hexdigest())
            for name, content in named.items()
        )
    return SimpleNamespace(arrays=arrays, contents=contents, splits=splits)


class Handler(BaseHTTPRequestHandler):
    """The first part of the path says how to behave, the second names the file."""

    def do_GET(self):
        behaviour, name = self.path.strip("/").split("/")
        content = self.server.contents[name]
        self.server.requests.append((behaviour, name))
        getattr(self, f"do_{behaviour}")(content)

    def send(self, content, length=None):
        self.send_response(200)
        self.send_header("Content-Length", str(len(content) if length is None else length))
        self.end_headers()
        self.wfile.write(content)
        self.wfile.flush()

    def do_good(self, content):
        self.send(content)

    def do_truncates(self, content):
        self.send(content[: len(content) // 2])

    def do_corrupts(self, content):
        middle = len(content) // 2
        self.send(content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :])

    def do_dies(self, content):
        self.send(content[: len(content) // 2], length=len(content))
        self.close_connection = True

    def do_stalls(self, content):
        self.send(content[: len(content) // 2], length=len(content))
        self.server.released.wait(20)

    def do_hangs(self, content):
        self.server.released.wait(20)

    def do_missing(self, content):
        self.send_error(404)

    def do_broken(self, content):
        self.send_error(500)

    def do_recovers(self, content):
        """Error 500 on the first request for each file, then the file."""
        if self.server.requests.count(tuple(self.path.strip("/").split("/"))) == 1:
            self.send_error(500)
        else:
            self.send(content)

    def do_together(self, content):
        """Half of the images, then the rest once two clients have got this far."""
        if "images" not in self.path:
            return self.send(content)
        self.send(content[: len(content) // 2], length=len(content))
        self.server.both_here.wait(60)
        self.wfile.write(content[len(content) // 2 :])

    def log_message(self, *args):
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request, client_address):
        """Clients that hang up are part of these tests."""


@pytest.fixture
def server(tiny):
    with Server(("127.0.0.1", 0), Handler) as server:
        server.contents, server.requests = tiny.contents, []
        server.released, server.both_here = threading.Event(), threading.Barrier(2)
        server.mirror = lambda behaviour: f"http://127.0.0.1:{server.server_port}/{behaviour}/"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.released.set()
        server.both_here.abort()
        server.shutdown()
        thread.join()


@pytest.fixture
def online(monkeypatch, tmp_path):
    """Downloads are allowed and go to ``tmp_path / "data"``; the user's cache is another empty folder."""
    monkeypatch.delenv("COURSEKIT_OFFLINE", raising=False)
    monkeypatch.setenv("COURSEKIT_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(download, "PAUSE", 0.0)
    return tmp_path / "data"


@pytest.fixture(autouse=True)
def users_cache(monkeypatch, tmp_path_factory):
    """An empty folder in place of the user's cache, which tests leave alone."""
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setattr("pooch.os_cache", lambda project: folder / project)
    return folder


@pytest.fixture
def serve(monkeypatch, server, online):
    """Call with contents by name, and behaviours: base addresses, one for each behaviour."""

    def addresses(contents, *behaviours):
        # Short only where the time has to run out: on a busy machine a good answer may take a while.
        monkeypatch.setattr(download, "TIMEOUT", (20.0, 0.4 if {"stalls", "hangs"} & set(behaviours) else 60.0))
        server.contents = contents
        return tuple(map(server.mirror, behaviours))

    return addresses


@pytest.fixture
def mirrors(monkeypatch, tiny, server, serve):
    """Call with behaviours: "mnist" becomes the tiny set behind one mirror for each."""

    def use(*behaviours):
        addresses = serve(tiny.contents, *behaviours)
        monkeypatch.setitem(
            download.REGISTRY, "mnist", download.RemoteSet("MNIST/raw", addresses, tiny.splits, CLASSES)
        )
        return server

    return use
