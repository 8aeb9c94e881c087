"""Reports events with the server SDK's BatchConsumer; prints how many calls raised.

usage: python driver-server.py SETTINGS (see harness/driver.mjs)
"""

import json
import sys
import time

import sensorsanalytics

settings = json.loads(sys.argv[-1])
timeout_s = settings.get("timeoutMs", 10_000) / 1000
url = f"http://{settings['address']}/sa?project=default"
consumer = sensorsanalytics.BatchConsumer(url, max_size=5, request_timeout=timeout_s)
sensors = sensorsanalytics.SensorsAnalytics(consumer)
raised = 0


def call(function, *args):
    """Calls the SDK; whether it did not raise."""
    global raised
    try:
        function(*args)
        return True
    except Exception:  # urllib's, http.client's and the SDK's own
        raised += 1
        return False


for n in range(settings["events"]):
    call(sensors.track, "device-1", "fault", {"marker": f"m-{n}"})
# As its manual has it: what is buffered is flushed now and then, and at the end.
for _ in range(20):
    if call(sensors.flush):
        break
    time.sleep(0.5)
print(json.dumps({"raised": raised}))
