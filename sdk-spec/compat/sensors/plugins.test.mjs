// The SDK's own plugins against the gateway: what each changes on the wire.

import assert from "node:assert/strict";
import test from "node:test";
import * as gw from "./gateway.mjs";

const EVENTS = 10;
const COUNTS = [[EVENTS, 1, 1]];
const counts = (gateway) => gw.ask(gateway, ["event_count", "visit_pv", "visit_uv"]);

async function refused(gateway) {
  const metrics = await (await fetch(`http://${gateway.admin}/metrics`)).text();
  const found = [...metrics.matchAll(/^sluice_append_events_total\{.*reason="event_unsupported".*\} (\d+)$/gm)];
  return found.reduce((sum, [, count]) => sum + Number(count), 0);
}

for (const mode of ["batch", "single"]) {
  test(`gzip, ${mode}: every event of a visit is counted once`, () =>
    gw.withGateway(async (gateway) => {
      await gw.visit(`http://${gateway.http}/sa?project=default`, mode, "gzip");
      assert.deepEqual(await gw.eventually(() => counts(gateway), COUNTS), COUNTS);
    }));

  for (const plugin of ["encryption", "general-encryption"]) {
    test(`${plugin}, ${mode}: every event is refused, and says why`, () =>
      gw.withGateway(async (gateway) => {
        await gw.visit(`http://${gateway.http}/sa?project=default`, mode, plugin);
        assert.equal(await gw.eventually(() => refused(gateway), EVENTS), EVENTS);
        assert.deepEqual(await gw.ask(gateway, ["event_count"]), [[0]]);
      }));
  }
}

test("gzip: replies that are cut make the SDK send again, and nothing is counted twice", () =>
  gw.withGateway(async (gateway) => {
    const faults = { cutReplies: 2 };
    const proxy = await gw.proxy(gateway.http, faults);
    await gw.visit(`http://${proxy.url}/sa?project=default`, "batch", "gzip");
    proxy.close();
    assert.equal(faults.cutReplies, 0, "the fault did not happen");
    assert.deepEqual(await gw.eventually(() => counts(gateway), COUNTS), COUNTS);
  }));

test("session-event: its session is the session of all tracked events", () =>
  gw.withGateway(async (gateway) => {
    await gw.visit(`http://${gateway.http}/sa?project=default`, "batch", "session-event");
    assert.deepEqual(await gw.eventually(() => counts(gateway), COUNTS), COUNTS);
    const sessions = await gw.ask(gateway, ["event_count"], ["session_id"]);
    // It leaves out what is not of type track: two profiles and the login.
    assert.deepEqual(sessions.map(([id, count]) => [typeof id === "string", count]).sort(), [[false, 3], [true, 7]]);
  }));
