// Reports events with @segment/analytics-node, in batches; prints how many it
// gave up on.
//
// usage: node driver-segment.mjs SETTINGS (see harness/driver.mjs)

import { Analytics } from "@segment/analytics-node";
import { report, settings } from "../harness/driver.mjs";

const { address, markers, timeoutMs } = settings();
const analytics = new Analytics({
  writeKey: "demo-write-key",
  host: `http://${address}`,
  flushAt: 5,
  flushInterval: 200,
  ...(timeoutMs && { httpRequestTimeout: timeoutMs }),
});
const said = { delivered: 0, failed: 0 };
analytics.on("error", () => {});
for (const marker of markers) {
  analytics.track({ userId: "user-1", event: "fault", properties: { marker } }, (error) => {
    said[error ? "failed" : "delivered"] += 1;
  });
}
await analytics.closeAndFlush({ timeout: 25_000 });
report(said);
