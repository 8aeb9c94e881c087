"""Sends events made by the CloudEvents SDK with requests; prints how many raised.

usage: python driver-python.py structured|retry SETTINGS (see harness/driver.mjs)
"""

import json
import sys

import requests
from cloudevents.core.bindings.http import to_structured
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

mode = sys.argv[1]
settings = json.loads(sys.argv[-1])
session = requests.Session()
if mode == "retry":
    # As the family's page has it.
    retry = Retry(total=10, backoff_factor=0.5, allowed_methods=None, status_forcelist=[429, 503])
    session.mount("http://", HTTPAdapter(max_retries=retry))
timeout_s = settings.get("timeoutMs", 10_000) / 1000
raised = 0
for n in range(settings["events"]):
    attributes = {"id": f"e-{n}", "source": "/fault", "type": "fault", "subject": "user-1"}
    message = to_structured(CloudEvent(attributes=attributes, data={"marker": f"m-{n}"}), JSONFormat())
    headers = {**message.headers, "authorization": "Bearer demo-write-key"}
    try:
        url = f"http://{settings['address']}/cloudevents"
        session.post(url, data=message.body, headers=headers, timeout=timeout_s).raise_for_status()
    except requests.RequestException:
        raised += 1
print(json.dumps({"raised": raised}))
