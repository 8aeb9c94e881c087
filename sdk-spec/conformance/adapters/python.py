"""The SDK of write-your-own.md behind the adapter protocol: taken from the page,
as pasted."""

import json
import os
import pathlib
import re
import sys

PAGE = pathlib.Path(__file__).resolve().parents[2] / "write-your-own.md"
CODE = re.search(r"```python\n(# sluice\.py\n.*?)```", PAGE.read_text("utf-8"), re.S).group(1)
scope = {}
exec(compile(CODE, "sluice.py", "exec"), scope)  # noqa: S102 (it is what a reader does)
sdk = None


def init(url, key, dir, options):
    global sdk
    sdk = scope["Sluice"](url, key, file=os.path.join(dir, "sluice.db"), interval=0.2, batch=10)


COMMANDS = {
    "hello": lambda: {"name": "python 50 lines", "capabilities": ["restart"]},
    "init": init,
    "track": lambda name, properties: {"event_id": sdk.track(name, properties)},
    "flush": lambda: None,
    "show": lambda: None,
    "hide": lambda: None,
}

for line in sys.stdin:
    command = json.loads(line)
    number, name = command.pop("id"), command.pop("cmd")
    try:
        if name not in COMMANDS:
            raise ValueError("unsupported")
        answer = {"id": number, "ok": True, **(COMMANDS[name](**command) or {})}
    except Exception as error:
        answer = {"id": number, "ok": False, "error": str(error)}
    print(json.dumps(answer), flush=True)
