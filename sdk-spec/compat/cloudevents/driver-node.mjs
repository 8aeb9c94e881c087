// Emits events with the CloudEvents SDK's own transport; prints how many promises
// were fulfilled and how many rejected.
//
// usage: node driver-node.mjs structured|binary|batch SETTINGS (see harness/driver.mjs)

import { CloudEvent, HTTP, Mode, emitterFor, httpTransport } from "cloudevents";
import { report, settings } from "../harness/driver.mjs";

const BATCH = 5;
const { address, markers } = settings();
const mode = process.argv[2];
const transport = httpTransport(`http://${address}/cloudevents`);
const options = { headers: { authorization: "Bearer demo-write-key" } };
const said = { fulfilled: 0, rejected: 0 };
const events = markers.map((marker) => new CloudEvent({
  source: "/fault", type: "fault", subject: "user-1", data: { marker },
}));

async function settle(promise) {
  const [{ status }] = await Promise.allSettled([promise]);
  said[status] += 1;
}

if (mode === "batch") {
  // The SDK has no batched emitter: it makes the content, here by its own `toJSON`.
  for (let n = 0; n < events.length; n += BATCH) {
    const body = JSON.stringify(events.slice(n, n + BATCH));
    await settle(transport({ headers: { "content-type": "application/cloudevents-batch+json" }, body }, options));
  }
} else {
  const emit = emitterFor(transport, { binding: HTTP, mode: mode === "binary" ? Mode.BINARY : Mode.STRUCTURED });
  for (const event of events) await settle(emit(event, options));
}
report(said);
