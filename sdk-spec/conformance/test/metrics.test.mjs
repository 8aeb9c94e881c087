// One visit in each host, with automatic events alone: the gateway's metrics
// mean the same whoever reports.

import assert from "node:assert/strict";
import { once } from "node:events";
import http from "node:http";
import test from "node:test";
import { createHost, PLATFORMS } from "../../sdk/test/fake-host/index.mjs";
import { Target } from "../lib/gateway.mjs";
import { startGateway, stopGateway } from "../lib/process.mjs";
import { eventually, sleep } from "../lib/util.mjs";

const DEMO = { writeKey: "demo-write-key", readToken: "demo-read-token", app: "demo" };

async function visit(platform, url, shop) {
  const host = createHost(platform);
  host.sluice.init({ url, key: DEMO.writeKey });
  host.context.App({ onError() {} });
  host.context.Page({ data: {}, onShareAppMessage: () => ({ path: "pages/index" }) });
  host.launch();
  const page = host.open("pages/index", { from: "qr" });
  page.onShareAppMessage({ from: "menu" });
  host.open("pages/item", { sku: "1" });
  for (const path of ["/ok", "/missing"]) {
    await new Promise((resolve) => host.api.request({ url: shop + path, complete: resolve }));
  }
  host.registered.app.onError("TypeError: x");
  host.back();
  await sleep(1100);
  host.hide();
  await eventually(() => host.sluice.state().waiting, (waiting) => waiting === 0, 20_000);
  const left = host.sluice.state().waiting;
  host.kill();
  assert.equal(left, 0, `${platform}: ${left} events still wait`);
}

test("a visit counts the same in every host", async () => {
  const shop = http.createServer((request, response) => { response.writeHead(request.url === "/ok" ? 200 : 404); response.end(); });
  shop.listen(0, "127.0.0.1");
  await once(shop, "listening");
  const gateway = await startGateway();
  try {
    await Promise.all(PLATFORMS.map((platform) => visit(platform, gateway.url, `http://127.0.0.1:${shop.address().port}`)));
    const to = new Target({ ...DEMO, url: gateway.url });
    const metrics = ["visit_pv", "visit_uv", "visit_uv_new", "share_pv", "session_cnt", "visit_depth", "js_error_rate", "request_success_rate", "event_count"];
    const ask = () => to.ask({ metrics, dimensions: ["platform"] });
    const rows = await eventually(ask, (found) => found.length === 7 && found.every((row) => row.metrics[8] === 14), 10_000);
    const expected = [3, 1, 1, 1, 1, 2, 1, 0.5, 14];
    assert.deepEqual(
      rows.map((row) => [row.dimensions[0], row.metrics]).sort(),
      [...PLATFORMS].sort().map((platform) => [platform, expected]),
    );
    const [whole] = await to.ask({ metrics: ["visit_pv", "visit_uv", "stay_time_session"] });
    assert.deepEqual(whole.metrics.slice(0, 2), [21, 7]);
    assert.ok(whole.metrics[2] >= 1 && whole.metrics[2] < 30, `stay_time_session is ${whole.metrics[2]} s`);
    const pages = await to.ask({ metrics: ["visit_pv"], dimensions: ["page.path"] });
    assert.deepEqual(pages.map((row) => [row.dimensions[0], row.metrics[0]]).sort(), [["pages/index", 14], ["pages/item", 7]]);
  } finally {
    await stopGateway(gateway);
    shop.closeAllConnections();
    shop.close();
  }
});
