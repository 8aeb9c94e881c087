// A client as it should not be, for the test of the harness: it speaks the native
// contract, and either makes new ids for each try or never tries again.
//
// usage: node naive.mjs new-ids|no-retry SETTINGS

import { randomUUID } from "node:crypto";
import { report, settings } from "./driver.mjs";

const { address, markers } = settings();
const tries = process.argv[2] === "new-ids" ? 5 : 1;

async function send(marker) {
  const event = { id: randomUUID(), name: "fault", time: Date.now(), device_id: "device-1", properties: { marker } };
  const reply = await fetch(`http://${address}/v1/events`, {
    method: "POST", headers: { authorization: "Bearer demo-write-key" }, body: JSON.stringify({ events: [event] }),
  });
  return reply.ok;
}

for (const marker of markers) {
  for (let n = 0; n < tries; n += 1) {
    if (await send(marker).catch(() => false)) break;
  }
}
report({});
