// The published Sensors SDK against the gateway: each event once, whatever the
// connection does.

import assert from "node:assert/strict";
import fs from "node:fs";
import test from "node:test";
import * as gw from "./gateway.mjs";

// What session.mjs does, in our vocabulary. The SDK adds `$first_visit_time`
// (user_set_once) by itself.
const BEFORE_LOGIN = ["app_launch", "app_show", "page_view", "addToCart"];
const EVENTS = 10;

async function check(gateway, visits) {
  const count = () => gw.ask(gateway, ["event_count", "visit_pv", "visit_uv"]);
  const wanted = [[EVENTS * visits, visits, visits]];
  assert.deepEqual(await gw.eventually(count, wanted), wanted);
}

for (const mode of ["batch", "single"]) {
  test(`${mode}: every event of a visit is counted once`, () =>
    gw.withGateway(async (gateway) => {
      await gw.visit(`http://${gateway.http}/sa?project=default`, mode);
      await check(gateway, 1);
      const names = await gw.timeline(gateway, "user-42");
      assert.ok(names.includes("order") && names.includes("app_hide"), names.join());
      const pages = await gw.ask(gateway, ["visit_pv"], ["page.path"]);
      assert.deepEqual(pages, [["pages/index/index", 1]]);
      const [[launches]] = await gw.ask(gateway, ["event_count"], []);
      assert.equal(launches, EVENTS);
      for (const name of BEFORE_LOGIN) {
        const rows = await gw.ask(gateway, ["event_count"], ["name"]);
        assert.deepEqual(rows.find((row) => row[0] === name), [name, 1]);
      }
    }));
}

test("batch: replies that are cut make the SDK send again, and nothing is counted twice", () =>
  gw.withGateway(async (gateway) => {
    const faults = { cutReplies: 2 };
    const proxy = await gw.proxy(gateway.http, faults);
    await gw.visit(`http://${proxy.url}/sa?project=default`, "batch");
    proxy.close();
    assert.equal(faults.cutReplies, 0, "the fault did not happen");
    await check(gateway, 1);
  }));

test("batch: while the log takes nothing the SDK gets no reply and keeps its events", async () => {
  const dir = gw.dataDir();
  const refusing = { SLUICE_LOG__DISK_RESERVE_BYTES: String(2 ** 60) };
  let gateway = await gw.start(dir, { env: refusing });
  const [, port] = gateway.http.split(":");
  const visit = gw.visit(`http://${gateway.http}/sa?project=default`, "batch");
  await new Promise((resolve) => setTimeout(resolve, 700));
  await gw.stop(gateway);
  gateway = await gw.start(dir, { port });
  try {
    await visit;
    await check(gateway, 1);
  } finally {
    await gw.stop(gateway);
    fs.rmSync(dir, { recursive: true, force: true });
  }
});
