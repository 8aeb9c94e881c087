// The real gateway: what a black box cannot bring about by itself. Kills,
// a log that takes nothing, narrower limits.

import assert from "node:assert/strict";
import crypto from "node:crypto";
import fs from "node:fs";
import test from "node:test";
import { balanced, refused, Target } from "../lib/gateway.mjs";
import { startGateway, stopGateway } from "../lib/process.mjs";
import { eventually } from "../lib/util.mjs";

const DEMO = { writeKey: "demo-write-key", readToken: "demo-read-token", app: "demo" };
const target = (gateway) => new Target({ ...DEMO, url: gateway.url });

test("GW-REPLY-2, GW-REPLY-3: what was accepted outlives a kill, and its copies stay copies", async () => {
  let gateway = await startGateway();
  const to = target(gateway);
  const events = Array.from({ length: 200 }, () => to.event());
  for (let at = 0; at < events.length; at += 50) {
    assert.equal(balanced(await to.post({ events: events.slice(at, at + 50) }), 50).accepted, 50);
  }
  await stopGateway(gateway, { signal: "SIGKILL", keep: true });
  gateway = await startGateway({ dir: gateway.dir });
  try {
    to.url = gateway.url;
    assert.equal(balanced(await to.post({ events }), 200).duplicates, 200);
    await to.counted(200);
  } finally {
    await stopGateway(gateway);
  }
});

test("GW-REPLY-6, GW-REPLY-8: nothing durable is 503 with the fates and a wait; the config is still answered", async () => {
  const gateway = await startGateway({ env: { SLUICE_LOG__DISK_RESERVE_BYTES: String(2 ** 60) } });
  try {
    const to = target(gateway);
    const answer = await eventually(() => to.post({ events: [to.event(), to.event()] }), (one) => one.status === 503);
    assert.equal(answer.status, 503);
    assert.ok(Number(answer.headers.get("retry-after")) >= 1);
    assert.ok(answer.body.retry_after_ms >= 1);
    assert.ok(["log_unavailable", "draining", "overloaded"].includes(answer.body.error.reason), JSON.stringify(answer.body));
    const settings = await fetch(`${gateway.url}/v1/config?key=${DEMO.writeKey}`);
    assert.equal(settings.status, 200);
  } finally {
    await stopGateway(gateway);
  }
});

test("GW-BODY-4, GW-KEY-1, GW-CONFIG-1: an app's own limits, rate and settings are answered as the contract says", async () => {
  const gateway = await startGateway({ config: `
[apps.shop]
write_keys = ["wk-shop"]
read_tokens = ["rt-shop"]
limits = { batch_events_max = 4, event_bytes_max = 2000, wire_bytes_max = 9000 }
rate = { events_per_s = 5, events_burst = 10 }
sdk = { enabled = false, sample_rate = 0.25, flush_interval_ms = 700, batch_events_max = 3 }
` });
  try {
    const to = new Target({ url: gateway.url, writeKey: "wk-shop", readToken: "rt-shop", app: "shop" });
    const many = await to.post({ events: Array.from({ length: 5 }, () => to.event()) });
    assert.deepEqual([many.status, many.body.error.reason, many.body.error.limit], [413, "too_many_events", 4]);
    const large = await to.post({ events: [], pad: "x".repeat(9000) });
    assert.deepEqual([large.status, large.body.error.reason, large.body.error.limit], [413, "body_too_large", 9000]);
    const one = balanced(await to.post({ events: [to.event({ properties: { pad: "x".repeat(2000) } })] }), 1);
    assert.equal(one.results[0].reason, "event_too_large");
    const settings = await (await fetch(`${gateway.url}/v1/config?key=wk-shop`)).json();
    assert.deepEqual(settings, { enabled: false, sample_rate: 0.25, flush_interval_ms: 700, batch_events_max: 3 });
    let answer = { status: 200 };
    for (let i = 0; i < 20 && answer.status === 200; i += 1) answer = await to.post({ events: Array.from({ length: 4 }, () => to.event()) });
    assert.deepEqual([answer.status, answer.body.error.reason], [429, "rate_limited"]);
    assert.ok(Number(answer.headers.get("retry-after")) >= 1 && answer.body.retry_after_ms >= 1);
  } finally {
    await stopGateway(gateway);
  }
});

test("GW-KEY-3, GW-KEY-4: signed server keys, and write keys bound to mini programs", async () => {
  const gateway = await startGateway({ config: `
[apps.shop]
write_keys = ["wk-shop"]
server_keys = [{ key = "sk-shop", hmac_secret = "secret-of-the-shop" }]
read_tokens = ["rt-shop"]
referer_app_ids = ["wx0123456789"]
` });
  try {
    const to = new Target({ url: gateway.url, writeKey: "wk-shop", readToken: "rt-shop", app: "shop" });
    const signed = (body, { at = Date.now(), secret = "secret-of-the-shop", over = body } = {}) => {
      const digest = crypto.createHash("sha256").update(over).digest("hex");
      const signature = crypto.createHmac("sha256", secret).update(`${at}.${digest}`).digest("hex");
      return to.post(body, { key: "sk-shop", headers: { "x-sluice-timestamp": String(at), "x-sluice-signature": signature } });
    };
    const body = JSON.stringify({ events: [to.event({ device_id: undefined })] });
    assert.equal(balanced(await signed(body), 1).accepted, 1);
    refused(await to.post(body, { key: "sk-shop" }), 401, "signature_invalid");
    refused(await signed(body, { secret: "another" }), 401, "signature_invalid");
    refused(await signed(body, { over: "{}" }), 401, "signature_invalid");
    refused(await signed(body, { at: Date.now() - 6 * 60_000 }), 401, "signature_expired");
    const from = (referer) => to.post({ events: [to.event()] }, { headers: referer ? { referer } : {} });
    assert.equal(balanced(await from("https://servicewechat.com/wx0123456789/12/page-frame.html"), 1).accepted, 1);
    refused(await from("https://servicewechat.com/wx9999999999/12/page-frame.html"), 403, "key_forbidden");
    refused(await from(), 403, "key_forbidden");
  } finally {
    await stopGateway(gateway);
  }
});

test("the data directory of a stopped gateway is gone", async () => {
  const gateway = await startGateway();
  await stopGateway(gateway);
  assert.equal(fs.existsSync(gateway.dir), false);
});
