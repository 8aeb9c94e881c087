"""Reports events with segment-analytics-python, in batches; prints how many it gave up on.

usage: python driver-segment.py SETTINGS (see harness/driver.mjs)
"""

import json
import logging
import sys

from segment.analytics.client import Client

settings = json.loads(sys.argv[-1])
logging.disable(logging.CRITICAL)
failed = 0


def on_error(_error, batch):
    """Called for each batch that is given up."""
    global failed
    failed += len(batch)


client = Client(
    "demo-write-key",
    host=f"http://{settings['address']}",
    upload_size=5,
    upload_interval=0.2,
    on_error=on_error,
    timeout=settings.get("timeoutMs", 15_000) / 1000,
)
for n in range(settings["events"]):
    client.track(user_id="user-1", event="fault", properties={"marker": f"m-{n}"})
client.flush()
client.shutdown()
print(json.dumps({"failed": failed}))
