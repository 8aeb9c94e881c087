"""Reports log records with one of OpenTelemetry's exporters, in batches.

usage: python driver-python.py http|grpc SETTINGS (see harness/driver.mjs)
"""

import json
import logging
import sys

from opentelemetry._logs import LogRecord
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor

transport = sys.argv[1]
settings = json.loads(sys.argv[-1])
logging.disable(logging.CRITICAL)
options = {"headers": {"authorization": "Bearer demo-write-key"}}
if "timeoutMs" in settings:
    options["timeout"] = settings["timeoutMs"] / 1000
if transport == "grpc":
    from opentelemetry.exporter.otlp.proto.grpc._log_exporter import OTLPLogExporter

    exporter = OTLPLogExporter(endpoint=f"http://{settings['address']}", insecure=True, **options)
else:
    from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter

    exporter = OTLPLogExporter(endpoint=f"http://{settings['address']}/v1/logs", **options)

provider = LoggerProvider()
provider.add_log_record_processor(BatchLogRecordProcessor(exporter, schedule_delay_millis=200, max_export_batch_size=5))
logger = provider.get_logger("fault")
for n in range(settings["events"]):
    attributes = {"marker": f"m-{n}", "device.id": "device-1"}
    logger.emit(LogRecord(event_name="fault", body="fault", attributes=attributes))
flushed = provider.force_flush(25_000)
provider.shutdown()
print(json.dumps({"flushed": flushed}))
