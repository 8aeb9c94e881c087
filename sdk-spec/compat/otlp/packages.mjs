// OpenTelemetry's log exporters in the fault matrix. A retry has to fit into the
// exporter's time-out, 10 s by default: a longer outage loses.

import { loses, resends } from "../harness/driver.mjs";

const HTTP = resends("5 tries more on 429, 502, 503, 504 and broken connections, as `Retry-After` says, within the time-out of 10 s");
const TIMED_OUT = loses("the time-out holds for all tries together, so that nothing is left of it");
const GRPC = loses("the exporter tries no failed call again");
const PYTHON = resends("5 tries more on 429, 502, 503, 504 and broken connections, as `Retry-After` says, within the time-out of 10 s");
const PYTHON_GRPC = resends("5 tries more on `UNAVAILABLE`, `RESOURCE_EXHAUSTED` and the like, as `RetryInfo` says, within the time-out of 10 s");

function rules(passing, slow) {
  return { unavailable: passing, limited: passing, cutBefore: passing, cutAfter: passing, slow };
}

function node(transport, declared) {
  return {
    npm: `@opentelemetry/exporter-logs-otlp-${transport}`,
    title: "BatchLogRecordProcessor",
    driver: "driver-node.mjs",
    args: [transport],
    timeoutMs: 2000,
    declared,
  };
}

function python(transport, declared) {
  return {
    pypi: `opentelemetry-exporter-otlp-proto-${transport}`,
    title: "BatchLogRecordProcessor",
    driver: "driver-python.py",
    args: [transport],
    timeoutMs: 2000,
    declared,
  };
}

export default [
  node("http", rules(HTTP, TIMED_OUT)),
  node("proto", rules(HTTP, TIMED_OUT)),
  node("grpc", rules(GRPC, GRPC)),
  python("http", rules(PYTHON, TIMED_OUT)),
  python("grpc", rules(PYTHON_GRPC, TIMED_OUT)),
];
