#!/usr/bin/env python3
"""A registry of images (the registry API, version 2) for one user, on the loopback.
   registry.py PORT DIRECTORY USER PASSWORD LOG      keeps images in DIRECTORY, and writes to LOG who asked for what
Several may share a directory, as hosts of a lab whose loopbacks are their own."""
import base64, hashlib, http.server, json, os, re, sys, uuid

port, root, user, password, log = sys.argv[1:]
allowed = "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()
os.makedirs(root, exist_ok=True)


def path(*parts):
    return os.path.join(root, "_".join(part.replace("/", "+") for part in parts))


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def answer(self, status, body=b"", **headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), str(value))
        if "Content_Length" not in headers:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def fail(self, status, code, **headers):
        self.answer(status, json.dumps({"errors": [{"code": code, "message": code.lower()}]}).encode(),
                    Content_Type="application/json", **headers)

    def body(self):
        if self.headers.get("Transfer-Encoding") == "chunked":
            content = b""
            while size := int(self.rfile.readline(), 16):
                content += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return content
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def handle_any(self):
        content = self.body()
        shown = self.headers.get("Authorization", "")
        with open(log, "a") as file:
            print(user if shown == allowed else "nobody", self.command, self.path, file=file)
        if shown != allowed:
            return self.fail(401, "UNAUTHORIZED", WWW_Authenticate='Basic realm="test"')
        target, _, query = self.path.partition("?")
        if target == "/v2/":
            return self.answer(200)
        for pattern, serve in [(r"/v2/(.+)/manifests/(.+)", self.manifest), (r"/v2/(.+)/blobs/uploads/(.*)", self.upload),
                               (r"/v2/(.+)/blobs/(.+)", self.blob)]:
            if found := re.fullmatch(pattern, target):
                return serve(*found.groups(), query, content)
        self.fail(404, "NAME_UNKNOWN")

    do_GET = do_HEAD = do_PUT = do_POST = do_PATCH = handle_any

    def manifest(self, name, reference, _, content):
        if self.command == "PUT":
            digest = "sha256:" + hashlib.sha256(content).hexdigest()
            for key in (reference, digest):
                with open(path("manifest", name, key), "wb") as file:
                    file.write(json.dumps([self.headers["Content-Type"], content.decode()]).encode())
            return self.answer(201, Docker_Content_Digest=digest)
        if not os.path.exists(path("manifest", name, reference)):
            return self.fail(404, "MANIFEST_UNKNOWN")
        kind, text = json.load(open(path("manifest", name, reference)))
        body = text.encode()
        self.answer(200, body, Content_Type=kind, Content_Length=len(body),
                    Docker_Content_Digest="sha256:" + hashlib.sha256(body).hexdigest())

    def upload(self, name, number, query, content):
        number = number or uuid.uuid4().hex
        with open(path("upload", number), "ab") as file:
            file.write(content)
            size = file.tell()
        where = f"/v2/{name}/blobs/uploads/{number}"
        if self.command == "PUT":
            digest = dict(part.split("=") for part in query.split("&"))["digest"].replace("%3A", ":")
            os.rename(path("upload", number), path("blob", digest))
            return self.answer(201, Docker_Content_Digest=digest)
        self.answer(202, Location=where, Range=f"0-{max(0, size - 1)}", Docker_Upload_UUID=number)

    def blob(self, name, digest, _, content):
        if not os.path.exists(path("blob", digest)):
            return self.fail(404, "BLOB_UNKNOWN")
        body = open(path("blob", digest), "rb").read()
        self.answer(200, body, Content_Type="application/octet-stream", Content_Length=len(body), Docker_Content_Digest=digest)


http.server.ThreadingHTTPServer(("127.0.0.1", int(port)), Handler).serve_forever()
