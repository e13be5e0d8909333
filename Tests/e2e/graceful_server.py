#!/usr/bin/env python3
"""A web server as a well-behaved one is: told to end, it answers what it has taken, says that it closes, and goes when nobody is left.
   graceful_server.py PORT WORD"""
import signal, socket, sys, threading, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

ending = threading.Event()
open_connections = set()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def setup(self):
        open_connections.add(self)
        super().setup()

    def finish(self):
        super().finish()
        open_connections.discard(self)

    def do_GET(self):
        body = f"{socket.gethostname()} {sys.argv[2]}\n".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        if ending.is_set():
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128


def drain(server):
    deadline = time.monotonic() + 5
    while open_connections and time.monotonic() < deadline:
        time.sleep(0.01)
    server.shutdown()


def main():
    server = Server(("", int(sys.argv[1])), Handler)

    def end(*_):
        ending.set()
        threading.Thread(target=drain, args=(server,)).start()

    signal.signal(signal.SIGTERM, end)
    server.serve_forever(poll_interval=0.02)


main()
