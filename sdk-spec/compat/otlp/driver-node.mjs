// Reports log records with one of OpenTelemetry's exporters, in batches; prints
// what the SDK logged as errors.
//
// usage: node driver-node.mjs http|proto|grpc SETTINGS (see harness/driver.mjs)

import { DiagLogLevel, diag } from "@opentelemetry/api";
import { BatchLogRecordProcessor, LoggerProvider } from "@opentelemetry/sdk-logs";
import { report, settings } from "../harness/driver.mjs";

const { address, markers, timeoutMs } = settings();
const transport = process.argv[2];
const errors = [];
diag.setLogger({ error: (text) => errors.push(String(text)), warn() {}, info() {}, debug() {}, verbose() {} }, DiagLogLevel.ERROR);
// The one way to a header that is the same for all three.
process.env.OTEL_EXPORTER_OTLP_HEADERS = "authorization=Bearer%20demo-write-key";
const { OTLPLogExporter } = await import(`@opentelemetry/exporter-logs-otlp-${transport}`);
const exporter = new OTLPLogExporter({
  url: transport === "grpc" ? `http://${address}` : `http://${address}/v1/logs`,
  ...(timeoutMs && { timeoutMillis: timeoutMs }),
});
const processor = new BatchLogRecordProcessor({ exporter, maxExportBatchSize: 5, scheduledDelayMillis: 200 });
const provider = new LoggerProvider({ processors: [processor] });
const logger = provider.getLogger("fault");
for (const marker of markers) {
  logger.emit({ eventName: "fault", body: "fault", attributes: { marker, "device.id": "device-1" } });
}
await provider.forceFlush();
await provider.shutdown();
report({ errors });
