# The tools of the sandbox for agents that reach them by standard input and output alone: each line is sent on as it is.
import json, os, sys, urllib.error, urllib.request

opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
headers = {
    "Content-Type": "application/json",
    "Accept": "application/json, text/event-stream",
    "Authorization": "Bearer " + os.environ["NIGHTSHIFT_PASS"],
}
for line in sys.stdin:
    if not line.strip():
        continue
    try:
        answer = opener.open(urllib.request.Request(os.environ["NIGHTSHIFT_TOOLS"], line.encode(), headers))
        text = answer.read().decode().strip()
    except (urllib.error.URLError, OSError) as error:
        failed = {"code": -32603, "message": str(error)}
        text = json.dumps({"jsonrpc": "2.0", "id": json.loads(line).get("id"), "error": failed})
        if '"id": null' in text:
            continue
    if text:
        print(text, flush=True)
