"""A server of the Model Context Protocol for tests, written from the protocol's own text and no library.

    server.py GENERATION NAME      GENERATION: newest, initialize, or strict, which ends when anything but initialize comes first

Beside the repository it writes down each call that it takes (calls.log) and what its client does wrong (breaches.log).
"""

import base64
import json
import os
import struct
import sys
import time
import zlib

GENERATION, NAME = sys.argv[1], sys.argv[2]
METHODS = {"server/discover", "initialize", "tools/list", "tools/call", "ping", "notifications/initialized", "notifications/cancelled"}


def write(file, text):
    with open(os.path.join("..", file), "a") as log:
        log.write(f"{NAME} {text}\n")


def say(message):
    print(json.dumps({"jsonrpc": "2.0", **message}), flush=True)


def text(words):
    return [{"type": "text", "text": words}]


def png(width, height):
    rows = b"".join(b"\0" + b"\x20\x40\x80" * width for _ in range(height))
    chunk = lambda kind, data: struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def wait_for(file):
    while not os.path.exists(os.path.join("..", file)):
        time.sleep(0.02)


class Tools:
    counted = 0

    def echo(self, arguments):
        return text(f"{NAME} heard {arguments.get('say')}")

    def count(self, arguments):
        self.counted += 1
        return text(f"counted to {self.counted}")

    def variable(self, arguments):
        return text(f"{arguments['name']} is {os.environ.get(arguments['name'], 'not set')}")

    def slow(self, arguments):
        wait_for("go")
        return text("done slowly")

    def look(self, arguments):
        wait_for("go")
        return text("looked")

    def picture(self, arguments):
        return text("Before.") + [{"type": "image", "data": base64.b64encode(png(40, 30)).decode(), "mimeType": "image/png"}]

    def fail(self, arguments):
        return None

    def long(self, arguments):
        return text("begin " + "x" * 200_000 + " end")

    def die(self, arguments):
        print("Error: the database is gone", file=sys.stderr, flush=True)
        os._exit(3)

    def hang(self, arguments):
        return "silence"

    def stuck(self, arguments):
        write("calls.log", f"is {os.getpid()}")
        wait_for("never")


tools = Tools()
LISTED = [name for name in vars(Tools) if not name.startswith("_") and name != "counted"]


def tool(name):
    schema = {"type": "object", "properties": {"say": {"type": "string"}, "name": {"type": "string"}}}
    # Another draft's, and with what providers refuse.
    schema |= {"$schema": "http://json-schema.org/draft-07/schema#", "oneOf": [{"required": []}]}
    return {
        "name": name,
        "description": f"Does {name}.",
        "inputSchema": schema,
        "annotations": {"readOnlyHint": name == "look", "openWorldHint": name == "echo"},
    }


def answer(method, params):
    if method == "initialize" and GENERATION != "newest":
        server = {"name": NAME, "version": "1"}
        return {"protocolVersion": params["protocolVersion"], "capabilities": {"tools": {}}, "serverInfo": server}
    if method == "ping" and GENERATION != "newest":
        return {}
    if method == "server/discover" and GENERATION == "newest":
        found = {"supportedVersions": ["2026-07-28"], "capabilities": {"tools": {}}}
        return {"resultType": "complete", "ttlMs": 0, "cacheScope": "private"} | found
    if method == "tools/list":
        half = len(LISTED) // 2
        page = int(params.get("cursor") or 0)
        names = LISTED[:half] if page == 0 else LISTED[half:]
        return {"tools": [tool(name) for name in names]} | ({"nextCursor": "1"} if page == 0 else {})
    if method == "tools/call":
        write("calls.log", params["name"])
        content = getattr(tools, params["name"])(params.get("arguments") or {})
        if content == "silence":
            return content
        return {"content": content or text("It did not work."), "isError": content is None}
    return None


def main():
    # Servers print all sorts of things.
    print("Listening on standard input.", flush=True)
    begun, ids = False, set()
    for line in sys.stdin:
        message = json.loads(line)
        method, number = message.get("method"), message.get("id")
        meta = (message.get("params") or {}).get("_meta") or {}
        if message.get("jsonrpc") != "2.0" or method not in METHODS:
            write("breaches.log", f"no message of the protocol: {line}")
        if GENERATION == "newest" and number is not None and meta.get("io.modelcontextprotocol/protocolVersion") != "2026-07-28":
            if method != "initialize":
                write("breaches.log", f"no version: {line}")
        if number is None:
            if method == "notifications/cancelled":
                write("calls.log", "cancelled")
            continue
        if number in ids:
            write("breaches.log", f"a second request of one id: {line}")
        ids.add(number)
        begins = method in ("initialize", "server/discover")
        if GENERATION == "strict" and not begun and method != "initialize":
            sys.exit("expected initialize")
        if not begun and not begins:
            write("breaches.log", f"before the beginning: {line}")
        result = answer(method, message.get("params") or {})
        begun = begun or (begins and result is not None)
        if result == "silence":
            continue
        if result is None:
            say({"id": number, "error": {"code": -32601, "message": f"Method not found: {method}"}})
        else:
            say({"id": number, "result": result})


main()
