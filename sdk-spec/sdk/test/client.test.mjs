// The client through its node adapter: identity, cleaning, config, consent.

import assert from "node:assert/strict";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import test from "node:test";
import { create } from "../dist/node.mjs";
import { createHost, storage } from "./fake-host/index.mjs";
import { serve, sleep, until } from "./server.mjs";

async function withClient(run, { gateway: options, ...more } = {}) {
  const gateway = await serve(options);
  const dir = fs.mkdtempSync(path.join(os.tmpdir(), "sluice-mp-"));
  const problems = [];
  const start = (extra = {}) => create({
    url: gateway.url, key: "k", dir, retry_base_ms: 20, timeout_ms: 1000, onProblem: (problem) => problems.push(problem), ...more, ...extra,
  });
  const clients = [];
  const open = (extra) => { const client = start(extra); clients.push(client); return client; };
  try {
    await run({ open, gateway, dir, problems });
  } finally {
    clients.forEach((client) => client.close());
    gateway.close();
    fs.rmSync(dir, { recursive: true, force: true });
  }
}

// The page that SDKs are written from holds the vectors of the hash.
const spec = fs.readFileSync(new URL("../../spec.md", import.meta.url), "utf8");
const hashed = [...spec.matchAll(/^\| `(.+)` \| (\d+) \| [\d.]+ \|$/gm)].map(([, text, h]) => [text, Number(h) / 2 ** 32]);

test("sampling is by device, as the vectors of the contract say", async () => {
  assert.equal(hashed.length, 4);
  for (const [device, u] of hashed) {
    for (const [rate, reports] of [[u + 1e-6, true], [u, false]]) {
      const disk = storage();
      disk.values.set("sluice.id", JSON.stringify(JSON.stringify({ d: device, o: false })));
      disk.values.set("sluice.config", JSON.stringify(JSON.stringify({ c: { enabled: true, sample_rate: rate, flush_interval_ms: 100, batch_events_max: 5 } })));
      const host = createHost("wx", { disk });
      host.sluice.init({ url: "http://127.0.0.1:9", key: "k" });
      assert.equal(host.sluice.track("a") !== undefined, reports, `${device} at ${rate}`);
      host.kill();
    }
  }
});

test("device survives restarts, user follows identify and ends with reset, super is kept", () =>
  withClient(async ({ open, gateway }) => {
    const first = open();
    first.track("anonymous");
    first.identify(42, { openid: "o-1", bad: 7 });
    first.setSuper({ channel: "qr", gone: 1 });
    first.setSuper({ gone: null });
    first.track("known", { channel: "own" });
    first.setUser({ level: "gold" });
    first.close();
    const second = open();
    second.track("still");
    second.reset();
    second.track("after");
    second.flush();
    await until(() => gateway.seen.size === 5, "five events");
    const [anonymous, known, profile, still, after] = gateway.events();
    assert.equal(anonymous.user_id, undefined);
    assert.deepEqual([known.user_id, known.ids, known.properties], ["42", { openid: "o-1" }, { channel: "own" }]);
    assert.deepEqual([profile.name, profile.type, profile.properties], ["user_set", "user_set", { level: "gold" }]);
    assert.deepEqual([still.user_id, still.properties], ["42", { channel: "qr" }]);
    assert.deepEqual([after.user_id, after.ids, after.properties], [undefined, undefined, undefined]);
    assert.equal(new Set(gateway.events().map((event) => event.device_id)).size, 1);
    assert.equal(new Set(gateway.events().map((event) => event.session_id)).size, 3);
  }));

test("what an app hands over cannot break anything, and is copied (SDK-EVENT-3, SDK-EVENT-4)", () =>
  withClient(async ({ open, gateway, problems }) => {
    const client = open();
    const cycle = { a: 1 };
    cycle.self = cycle;
    const wide = Object.fromEntries(Array.from({ length: 150 }, (_, i) => [`k${i}`, i]));
    client.track("cycle", cycle);
    client.track("odd", {
      big: 12345678901234567890n, nan: NaN, fn() {}, when: new Date(0), nothing: null, gone: undefined,
      get broken() { throw new Error("no"); }, deep: { a: { b: { c: { d: 1 } } } }, half: "a\ud800b", long: "页".repeat(5000),
      list: [1, undefined, "x"], error: new TypeError("t"),
    });
    client.track("wide", wide);
    client.track("none", undefined);
    client.track("text", "not an object");
    assert.equal(client.track("1 bad name"), undefined);
    assert.equal(client.track(undefined), undefined);
    const value = { n: 1 };
    client.track("copied", value);
    value.n = 2;
    assert.equal(client.track("huge", Object.fromEntries(Array.from({ length: 20 }, (_, i) => [`k${i}`, "x".repeat(8000)]))), undefined);
    client.flush();
    await until(() => gateway.names().includes("copied"), "copied");
    const of = (name) => gateway.events().find((event) => event.name === name).properties;
    const odd = of("odd");
    assert.equal(odd.big, "12345678901234567890");
    assert.equal(odd.when, "1970-01-01T00:00:00.000Z");
    assert.equal(odd.half, "a\ufffdb");
    assert.equal(odd.error, "t");
    assert.ok(Buffer.byteLength(odd.long) <= 8192 && odd.long.endsWith("页"));
    assert.deepEqual(odd.deep, { a: { b: '{"c":{"d":1}}' } });
    assert.deepEqual(odd.list, [1, null, "x"]);
    assert.deepEqual(Object.keys(odd).sort(), ["big", "deep", "error", "half", "list", "long", "nothing", "when"]);
    assert.equal(Object.keys(of("wide")).length, 100);
    assert.equal(of("copied").n, 1);
    assert.deepEqual(problems.map((problem) => problem.reason), ["name_invalid", "name_invalid", "event_too_large"]);
    assert.equal(gateway.batches[0].dropped, 1);
  }));

test("the hook sees, changes and drops events", () =>
  withClient(async ({ open, gateway }) => {
    const client = open({ before: (event) => {
      if (event.name === "drop") return null;
      if (event.name === "boom") throw new Error("no");
      return { ...event, properties: { ...event.properties, seen: true } };
    } });
    ["drop", "boom", "keep"].forEach((name) => client.track(name));
    client.flush();
    await until(() => gateway.seen.size === 2, "two events");
    assert.deepEqual(gateway.events().map((event) => [event.name, event.properties?.seen]), [["boom", undefined], ["keep", true]]);
  }));

test("without consent nothing is stored, sent or asked for; with it, from then on", () =>
  withClient(async ({ open, gateway, dir }) => {
    const client = open({ consent: false });
    assert.equal(client.track("early"), undefined);
    client.identify("u");
    client.flush();
    client.appHide();
    await sleep(300);
    assert.deepEqual([gateway.requests, fs.readdirSync(dir), client.state().device_id], [[], [], ""]);
    client.optOut(false);
    client.track("later");
    await until(() => gateway.seen.size === 1, "one event");
    assert.deepEqual(gateway.names(), ["later"]);
  }));

test("opt-out empties everything and holds over a restart; opt-in is a new device", () =>
  withClient(async ({ open, gateway, dir }) => {
    gateway.answer = () => ({ status: 503, headers: { "retry-after": "5" }, body: {} });
    const first = open();
    const device = first.state().device_id;
    first.identify("user-9");
    first.track("a");
    await until(() => gateway.batches.length > 0, "a try");
    await sleep(50);
    first.optOut();
    const tries = gateway.requests.length;
    assert.equal(first.track("b"), undefined);
    await sleep(300);
    assert.equal(gateway.requests.length, tries);
    const kept = fs.readdirSync(dir).map((name) => fs.readFileSync(path.join(dir, name), "utf8")).join();
    assert.ok(!kept.includes(device) && !kept.includes('"a"') && !kept.includes("user-9"), kept);
    first.close();
    gateway.answer = undefined;
    const second = open();
    assert.equal(second.track("c"), undefined);
    assert.equal(second.state().out, true);
    second.optOut(false);
    second.track("d");
    await until(() => gateway.seen.size === 1, "one event");
    assert.notEqual(second.state().device_id, device);
  }));

test("the config is asked with its ETag, kept, and a bad one ignored", () =>
  withClient(async ({ open, gateway }) => {
    const first = open();
    await until(() => gateway.configs === 1, "config");
    first.track("a");
    await until(() => gateway.seen.size === 1, "event");
    first.close();
    const second = open();
    await until(() => gateway.notModified === 1, "304");
    second.close();
    gateway.config = { enabled: true, sample_rate: 7, flush_interval_ms: -1, batch_events_max: "9", future: [] };
    const third = open();
    await until(() => gateway.configs === 3, "config");
    await sleep(50);
    third.track("b");
    await until(() => gateway.seen.size === 2, "event");
  }));

test("disabled: nothing is sent but the question, and what waits waits", () =>
  withClient(async ({ open, gateway }) => {
    gateway.config.enabled = false;
    const client = open();
    client.track("early");
    await until(() => gateway.configs === 1, "config");
    await sleep(50);
    assert.equal(client.track("a"), undefined);
    client.flush();
    client.appHide();
    await sleep(300);
    assert.equal(gateway.batches.length, 0);
    assert.equal(client.state().waiting, 1);
    client.close();
    gateway.config.enabled = true;
    open();
    await until(() => gateway.names().join() === "early", "early");
  }));

test("the queue is bounded, the oldest go first, and the loss is told once", () =>
  withClient(async ({ open, gateway }) => {
    gateway.answer = () => ({ status: 503, body: {} });
    const client = open({ queue_events_max: 10, queue_bytes_max: 1e6 });
    for (let n = 0; n < 25; n += 1) client.track("n", { n });
    assert.deepEqual([client.state().waiting, client.state().dropped], [10, 15]);
    client.close();
    gateway.answer = undefined;
    gateway.batches.length = 0;
    const again = open();
    again.flush();
    await until(() => gateway.seen.size === 10, "ten events");
    await until(() => again.state().dropped === 0, "told");
    again.track("next");
    await until(() => gateway.seen.size === 11, "next");
    assert.deepEqual(gateway.batches.map((batch) => batch.dropped), [15, undefined]);
    assert.deepEqual(gateway.events().slice(0, 10).map((event) => event.properties.n), [15, 16, 17, 18, 19, 20, 21, 22, 23, 24]);
  }));

test("what is broken in storage is dropped and the rest is sent", () =>
  withClient(async ({ open, gateway, dir }) => {
    gateway.answer = () => ({ status: 503, body: {} });
    const first = open();
    for (let n = 0; n < 200; n += 1) first.track("n", { n, text: "x".repeat(2000) });
    first.close();
    fs.writeFileSync(path.join(dir, "sluice.q.0.json"), '[{"id":"half');
    fs.writeFileSync(path.join(dir, "sluice.q.json"), "garbage");
    fs.writeFileSync(path.join(dir, "sluice.config.json"), "\u0000");
    gateway.answer = undefined;
    gateway.batches.length = 0;
    const second = open();
    second.flush();
    await until(() => second.state().waiting === 0 && gateway.seen.size > 50, "the rest");
    assert.ok(gateway.seen.size < 200);
  }));
