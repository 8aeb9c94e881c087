// Reports events with @rudderstack/rudder-sdk-node, in batches; prints how many it
// gave up on.
//
// usage: node driver-rudder.mjs SETTINGS (see harness/driver.mjs)

import { createRequire } from "node:module";
import { report, settings } from "../harness/driver.mjs";

const { address, markers, timeoutMs } = settings();
const Analytics = createRequire(import.meta.url)("@rudderstack/rudder-sdk-node");
const said = { delivered: 0, failed: 0 };
const analytics = new Analytics("demo-write-key", {
  dataPlaneUrl: `http://${address}`,
  flushAt: 5,
  flushInterval: 200,
  logLevel: "none",
  errorHandler: () => {},
  ...(timeoutMs && { timeout: timeoutMs }),
});
let settled;
const done = new Promise((resolve) => { settled = resolve; });
for (const marker of markers) {
  analytics.track({ userId: "user-1", event: "fault", properties: { marker } }, (error) => {
    said[error ? "failed" : "delivered"] += 1;
    if (said.delivered + said.failed === markers.length) settled();
  });
  // Not all at once: requests that wait equally long meet again, and it tries no more than four times.
  await new Promise((resolve) => setTimeout(resolve, 25));
}
await done;
report(said);
