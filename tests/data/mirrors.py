"""A mirror on 127.0.0.1 whose behaviour is the first part of the path: `/stall/name.gz`."""

import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

BEHAVIOURS = ("good", "stall", "mute", "drip", "truncate", "wrong", "refuse", "endless")


@contextmanager
def serve(folder: Path):
    """Yields `(base URL, list of requested paths)`; the files are those of `folder`."""
    closing, asked = threading.Event(), []

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self):
            self.send_response(200)
            self.end_headers()

        def do_GET(self):
            asked.append(self.path)
            behaviour, name = self.path.strip("/").split("/")
            assert behaviour in BEHAVIOURS
            if behaviour == "refuse":
                return self.send_error(403)
            if behaviour == "mute":  # takes the request and never answers
                closing.wait(60)
                return None
            if behaviour == "endless":
                self.send_response(200)
                self.end_headers()
                while not closing.is_set():
                    self.wfile.write(bytes(1 << 20))
                return None
            body = (folder / name).read_bytes()
            half = len(body) // 2
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if behaviour == "good":
                self.wfile.write(body)
            elif behaviour == "wrong":
                self.wfile.write(body[:half] + bytes([body[half] ^ 1]) + body[half + 1 :])
            else:
                self.wfile.write(body[:half])  # truncate closes here
            self.wfile.flush()
            if behaviour == "stall":
                closing.wait(60)
            for i in range(half, len(body)) if behaviour == "drip" else ():
                if closing.wait(0.05):
                    break
                self.wfile.write(body[i : i + 1])
            return None

        def log_message(self, *_):
            pass

        def handle(self):
            try:
                super().handle()
            except ConnectionError:  # the client has given up, as it should
                self.close_connection = True

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", asked
    finally:
        closing.set()
        server.shutdown()
        thread.join()
        server.server_close()
