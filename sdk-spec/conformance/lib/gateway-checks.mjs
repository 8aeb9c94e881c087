// The checks of the black box, in order.

import assert from "node:assert/strict";
import http from "node:http";
import https from "node:https";
import net from "node:net";
import tls from "node:tls";
import zlib from "node:zlib";
import { balanced, refused } from "./gateway.mjs";
import { eventually, sleep } from "./util.mjs";
import { zstdStored } from "./zstd.mjs";

const DAY = 86_400_000;
const long = (length) => "x".repeat(length);
const keys = (count) => Object.fromEntries(Array.from({ length: count }, (_, i) => [`k${i}`, 1]));

/** What is wrong with an event, and the reason it has to get. */
const BAD_EVENTS = [
  [{ id: undefined }, "id_missing"], [{ id: "" }, "id_missing"], [{ id: null }, "id_missing"], [{ id: 7 }, "id_invalid"],
  [{ id: long(65) }, "id_invalid"], [{ id: "a b" }, "id_invalid"], [{ id: "é" }, "id_invalid"],
  [{ name: undefined }, "name_missing"], [{ name: "" }, "name_missing"], [{ name: "1a" }, "name_invalid"],
  [{ name: "a b" }, "name_invalid"], [{ name: `a${long(128)}` }, "name_invalid"], [{ name: 5 }, "name_invalid"],
  [{ time: undefined }, "time_invalid"], [{ time: "1" }, "time_invalid"], [{ time: 1.5 }, "time_invalid"], [{ time: null }, "time_invalid"],
  [{ time: 1 }, "time_out_of_range"], [{ time: Date.now() - 8 * DAY }, "time_out_of_range"], [{ time: Date.now() + 2 * DAY }, "time_out_of_range"],
  [{ device_id: undefined }, "device_id_missing"], [{ device_id: "" }, "device_id_missing"],
  [{ device_id: long(129) }, "field_invalid"], [{ device_id: {} }, "field_invalid"], [{ type: "exposure" }, "type_unknown"],
  [{ user_id: long(256) }, "field_invalid"], [{ user_id: 5 }, "field_invalid"], [{ session_id: long(65) }, "field_invalid"],
  [{ seq: -1 }, "field_invalid"], [{ seq: "1" }, "field_invalid"], [{ scene: 5 }, "field_invalid"], [{ scene: long(8193) }, "field_invalid"],
  [{ page: "x" }, "field_invalid"], [{ page: { path: 5 } }, "field_invalid"], [{ page: { query: long(8193) } }, "field_invalid"],
  [{ ids: [] }, "field_invalid"], [{ ids: { openid: 5 } }, "field_invalid"],
  [{ ids: Object.fromEntries(Array.from({ length: 17 }, (_, i) => [`k${i}`, "v"])) }, "field_invalid"],
  [{ properties: [] }, "properties_invalid"], [{ properties: "x" }, "properties_invalid"], [{ properties: keys(101) }, "properties_invalid"],
  [{ properties: { a: { b: { c: { d: 1 } } } } }, "properties_invalid"], [{ properties: { [long(129)]: 1 } }, "properties_invalid"],
  [{ properties: Object.fromEntries(Array.from({ length: 9 }, (_, i) => [`k${i}`, long(8000)])) }, "event_too_large"],
];

/** Odd and fine. */
const GOOD_EVENTS = [
  { id: undefined }, { name: "$a.b-c_D9" }, { name: `a${long(127)}` }, { time: Date.now() - 6 * DAY }, { time: Date.now() + DAY - 60_000 },
  { device_id: long(128) }, { type: "" }, { type: null }, { type: "perf" }, { user_id: long(255) }, { user_id: null }, { session_id: long(64) },
  { seq: 0 }, { seq: 2 ** 53 - 1 }, { scene: null }, { page: { path: "页面", extra: [1] } }, { page: null }, { ids: { openid: "o", unionid: null } },
  { properties: null }, { properties: {} }, { properties: keys(100) }, { properties: { a: { b: { c: 1 } }, d: [[1], null, true, 1e300] } },
  { unknown: { deep: [null] } },
];

export const CHECKS = [
  {
    name: "fates", title: "Every event has a fate and the counts balance", clauses: ["GW-REPLY-1", "GW-REPLY-3", "GW-REPLY-5"],
    async run(to) {
      const [a, b] = [to.event(), to.event()];
      const mixed = balanced(await to.post({ events: [a, b, a, to.event({ name: "1" }), to.event()] }), 5);
      assert.deepEqual(mixed.results.map(({ index, id, outcome }) => [index, id, outcome]), [[2, a.id, "duplicate"], [3, mixed.results[1].id, "rejected"]]);
      assert.ok(Math.abs(mixed.server_time - Date.now()) < 3600_000, "server_time");
      const again = balanced(await to.post({ events: [b, a] }), 2);
      assert.equal(again.duplicates, 2);
      assert.equal(balanced(await to.post({ events: [] }), 0).accepted, 0);
    },
  },
  {
    name: "counted-once", title: "Copies in any batch, at any time, are counted once", clauses: ["GW-REPLY-3", "GW-TIME-2", "GW-QUERY-1"],
    async run(to) {
      const events = Array.from({ length: 20 }, () => to.event());
      await to.post({ events: events.slice(0, 12), sent_at: Date.now() });
      // Clocks that are fast: a slow one would put these into hours to come, and late in the evening into tomorrow.
      await to.post({ events: events.slice(5), sent_at: Date.now() + 3 * 3600_000, attempt: 2 });
      await to.post({ events: [...events].reverse(), sent_at: Date.now() + 3600_000 });
      await to.counted(20);
      await sleep(500);
      await to.counted(20);
    },
  },
  {
    name: "race", title: "Twenty copies at once: one is accepted", clauses: ["GW-REPLY-3"],
    async run(to) {
      const event = to.event();
      const answers = await Promise.all(Array.from({ length: 20 }, () => to.post({ events: [event] })));
      const settled = answers.filter((answer) => answer.status === 200);
      assert.equal(settled.reduce((sum, answer) => sum + answer.body.accepted, 0), 1, "accepted more or less than once");
      await to.counted(1);
    },
  },
  {
    name: "reasons", title: "Each rule that an event breaks has its reason; the others are not affected", clauses: ["GW-EVENT-1", "GW-REPLY-4", "GW-REPLY-9"],
    async run(to) {
      for (const [odd, reason] of BAD_EVENTS) {
        const events = [to.event(), to.event(odd), to.event()];
        const body = balanced(await to.post({ events }), 3);
        const what = JSON.stringify(odd).slice(0, 80);
        assert.equal(body.accepted, 2, `${what}: ${JSON.stringify(body)}`);
        assert.deepEqual([body.results[0].index, body.results[0].outcome, body.results[0].reason], [1, "rejected", reason], what);
        assert.ok(body.results[0].detail, "detail is missing");
      }
    },
  },
  {
    name: "odd-and-fine", title: "What the contract allows is taken", clauses: ["GW-BODY-5", "GW-EVENT-1"],
    async run(to) {
      for (const odd of GOOD_EVENTS) {
        const event = { ...to.event(), ...odd, id: to.event().id };
        const body = balanced(await to.post({ events: [event], future: [1], sdk: null, env: "" }), 1);
        assert.equal(body.accepted, 1, `${JSON.stringify(odd).slice(0, 80)}: ${JSON.stringify(body)}`);
      }
    },
  },
  {
    name: "long-text", title: "Long texts of properties are cut at a character's end", clauses: ["GW-EVENT-2"],
    async run(to) {
      const user = `u-${to.run}`;
      await to.post({ events: [to.event({ user_id: user, properties: { text: "页".repeat(5000) } })] });
      const [found] = await eventually(() => to.timeline(user), (events) => events.length > 0, 10_000);
      const text = found?.properties?.text ?? "";
      assert.ok(Buffer.byteLength(text) <= 8192 && Buffer.byteLength(text) > 8180, `${Buffer.byteLength(text)} bytes are kept`);
      assert.equal(text.replaceAll("页", ""), "", "cut within a character");
    },
  },
  {
    name: "bodies", title: "JSON under the labels that hosts use, also encoded twice", clauses: ["GW-BODY-1"],
    async run(to) {
      const types = ["application/json; charset=utf-8", "text/plain;charset=UTF-8", "application/x-www-form-urlencoded", ""];
      for (const type of types) {
        const body = balanced(await to.post(Buffer.from(JSON.stringify({ events: [to.event()] })), { headers: { "content-type": type } }), 1);
        assert.equal(body.accepted, 1, type);
      }
      const twice = JSON.stringify(JSON.stringify({ events: [to.event({ page: { title: '引号 "x"' } })] }));
      assert.equal(balanced(await to.post(twice), 1).accepted, 1);
      await to.counted(types.length + 1);
    },
  },
  {
    name: "encodings", title: "gzip, deflate, zstd; any other is refused, a false label too", clauses: ["GW-BODY-2", "GW-BODY-3"],
    async run(to) {
      const encoders = { gzip: zlib.gzipSync, deflate: zlib.deflateSync, zstd: zstdStored, identity: (bytes) => bytes };
      for (const [name, encode] of Object.entries(encoders)) {
        const text = Buffer.from(JSON.stringify({ events: [to.event(), to.event()] }));
        const body = balanced(await to.post(encode(text), { headers: { "content-encoding": name } }), 2);
        assert.equal(body.accepted, 2, name);
      }
      const members = ['{"events":[', `${JSON.stringify(to.event())}]}`].map((part) => zlib.gzipSync(part));
      assert.equal(balanced(await to.post(Buffer.concat(members), { headers: { "content-encoding": "gzip" } }), 1).accepted, 1, "two gzip members");
      for (const name of ["br", "compress", "gzip, gzip"]) {
        refused(await to.post({ events: [] }, { headers: { "content-encoding": name } }), 415, "encoding_unsupported");
      }
      for (const name of ["gzip", "deflate", "zstd"]) {
        refused(await to.post({ events: [] }, { headers: { "content-encoding": name } }), 400, "encoding_invalid");
      }
      const half = zlib.gzipSync(JSON.stringify({ events: [to.event()] })).subarray(0, -9);
      refused(await to.post(half, { headers: { "content-encoding": "gzip" } }), 400, "encoding_invalid");
      await to.counted(9);
    },
  },
  {
    name: "no-batch", title: "What is no batch is refused as a whole", clauses: ["GW-BODY-3", "GW-REPLY-7"],
    async run(to) {
      const bodies = ["", "x", "[]", "{}", "null", '{"events":{}}', '{"events":[]}{}', '{"events":[]', '{"events":[],"sdk":5}', '{"events":[],"platform":5}', Buffer.from([0x7b, 0xff])];
      for (const body of bodies) refused(await to.post(body), 400, "body_invalid");
      refused(await to.post({ events: [{ ...to.event(), properties: JSON.parse("[".repeat(40) + "]".repeat(40)) }] }), 400, "body_too_deep");
      refused(await to.post({ events: [] }, { headers: { "content-type": "image/png" } }), 415, "content_type_unsupported");
    },
  },
  {
    name: "limits", title: "Too much is refused with the limit", clauses: ["GW-BODY-4", "GW-REPLY-7"],
    async run(to) {
      const full = Array.from({ length: 500 }, () => to.event());
      assert.equal(balanced(await to.post({ events: full }), 500).accepted, 500);
      const many = await to.post({ events: Array.from({ length: 501 }, () => to.event()) });
      refused(many, 413, "too_many_events");
      assert.equal(many.body.error.limit, 500);
      const large = await to.post(Buffer.alloc((1 << 20) + 1, 0x20));
      refused(large, 413, "body_too_large");
      assert.equal(large.body.error.limit, 1 << 20);
      const bomb = await to.post(zlib.gzipSync(Buffer.alloc((8 << 20) + 1, 0x20)), { headers: { "content-encoding": "gzip" } });
      refused(bomb, 413, "inflated_too_large");
      assert.equal(bomb.body.error.limit, 8 << 20);
      await to.counted(500);
    },
  },
  {
    name: "time", title: "A wrong clock is corrected where sent_at tells of it", clauses: ["GW-TIME-1"],
    async run(to) {
      const base = 1_000_000;
      const told = await to.post({ sent_at: base + 5000, events: [to.event({ time: base }), to.event({ time: base - 8 * DAY })] });
      const body = balanced(told, 2);
      assert.deepEqual([body.accepted, body.results[0]?.reason], [1, "time_out_of_range"]);
      const future = Date.now() + 400 * DAY;
      assert.equal(balanced(await to.post({ sent_at: future, events: [to.event({ time: future - 1000 })] }), 1).accepted, 1);
      assert.equal(balanced(await to.post({ events: [to.event({ time: future })] }), 1).results[0].reason, "time_out_of_range");
      await to.counted(2);
    },
  },
  {
    name: "keys", title: "The key, in each of its places", clauses: ["GW-KEY-1"],
    async run(to) {
      const none = { key: "" };
      assert.equal((await to.post({ events: [] }, { ...none, headers: { "x-sluice-key": to.writeKey } })).status, 200);
      assert.equal((await to.post({ events: [] }, { ...none, path: `/v1/events?key=${encodeURIComponent(to.writeKey)}` })).status, 200);
      const without = await to.post({ events: [to.event()] }, none);
      refused(without, 401, "key_missing");
      assert.equal(without.headers.get("www-authenticate"), "Bearer");
      refused(await to.post({ events: [to.event()] }, { key: `no-${to.run}` }), 401, "key_unknown");
      refused(await to.post({ app_id: `other-${to.run}`, events: [to.event()] }), 403, "app_mismatch");
      assert.equal(balanced(await to.post({ app_id: to.app, events: [to.event()] }), 1).accepted, 1);
    },
  },
  {
    name: "server-key", title: "Only a server key may leave out the device", clauses: ["GW-KEY-2"], needs: ["serverKey"],
    async run(to) {
      const event = to.event({ device_id: undefined, user_id: `u-${to.run}` });
      assert.equal(balanced(await to.post({ events: [event] }), 1).results[0].reason, "device_id_missing");
      assert.equal(balanced(await to.post({ events: [event] }, { key: to.serverKey }), 1).accepted, 1);
      assert.equal(balanced(await to.post({ events: [event] }, { key: to.serverKey }), 1).duplicates, 1);
    },
  },
  {
    name: "cors", title: "Web pages of any origin may call", clauses: ["GW-CORS-1"],
    async run(to) {
      const wanted = "authorization, content-type, content-encoding, x-sluice-key, if-none-match";
      for (const [path, method] of [["/v1/events", "POST"], ["/v1/config", "GET"], ["/v1/debug/validate", "POST"]]) {
        const asked = { origin: "https://shop.example", "access-control-request-method": method, "access-control-request-headers": wanted };
        const { status, headers } = await options(to.url + path, asked);
        assert.ok(status === 200 || status === 204, `preflight of ${path}: ${status}`);
        assert.ok(["*", "https://shop.example"].includes(headers["access-control-allow-origin"]), "allow-origin");
        assert.ok(headers["access-control-allow-methods"].includes(method), "allow-methods");
        const allowed = headers["access-control-allow-headers"].toLowerCase();
        for (const name of wanted.split(", ")) assert.ok(allowed.includes(name), `${path} does not allow ${name}`);
      }
      for (const answer of [await to.post({ events: [] }), await to.post("x"), await to.post({ events: [] }, { key: "no" })]) {
        assert.ok(answer.headers.get("access-control-allow-origin"), `allow-origin with ${answer.status}`);
        assert.equal(answer.headers.get("access-control-allow-credentials"), null);
        const exposed = answer.headers.get("access-control-expose-headers").toLowerCase();
        for (const name of ["etag", "retry-after", "x-request-id"]) assert.ok(exposed.includes(name), name);
      }
    },
  },
  {
    name: "request-id", title: "Each answer names its request", clauses: ["GW-REPLY-10"],
    async run(to) {
      const own = await to.post({ events: [] }, { headers: { "x-request-id": `r.${to.run}_-` } });
      assert.equal(own.headers.get("x-request-id"), `r.${to.run}_-`);
      const made = await to.post("x", { headers: { "x-request-id": "not well formed!" } });
      assert.match(made.headers.get("x-request-id"), /^[A-Za-z0-9._-]{1,64}$/);
    },
  },
  {
    name: "config", title: "Settings with an ETag", clauses: ["GW-CONFIG-1"],
    async run(to) {
      const headers = { authorization: `Bearer ${to.writeKey}` };
      const first = await fetch(`${to.url}/v1/config`, { headers });
      assert.equal(first.status, 200);
      const { enabled, sample_rate, flush_interval_ms, batch_events_max } = await first.json();
      assert.equal(typeof enabled, "boolean");
      assert.ok(sample_rate >= 0 && sample_rate <= 1 && Number.isInteger(flush_interval_ms) && batch_events_max >= 1 && batch_events_max <= 500);
      const etag = first.headers.get("etag");
      const same = await fetch(`${to.url}/v1/config`, { headers: { ...headers, "if-none-match": etag } });
      assert.deepEqual([same.status, same.headers.get("etag"), await same.text()], [304, etag, ""]);
      const other = await fetch(`${to.url}/v1/config`, { headers: { ...headers, "if-none-match": '"other"' } });
      assert.equal(other.status, 200);
      assert.equal((await fetch(`${to.url}/v1/config`)).status, 401);
    },
  },
  {
    name: "validate", title: "Validation gives the same verdicts and stores nothing", clauses: ["GW-VALIDATE-1"],
    async run(to) {
      for (const [odd, reason] of BAD_EVENTS) {
        assert.equal(balanced(await to.validate([to.event(odd)]), 1).results[0].reason, reason, JSON.stringify(odd).slice(0, 80));
      }
      const event = to.event();
      assert.equal(balanced(await to.validate([event]), 1).accepted, 1);
      assert.equal(balanced(await to.validate([event]), 1).accepted, 1);
      assert.equal(balanced(await to.post({ events: [event] }), 1).accepted, 1, "validation left a trace");
      await to.counted(1);
    },
  },
  {
    name: "paths", title: "Other paths and methods", clauses: ["GW-REPLY-7"],
    async run(to) {
      refused(await to.post({ events: [] }, { path: "/v1/nothing-here" }), 404, "not_found");
      const wrong = await fetch(`${to.url}/v1/events`, { headers: { authorization: `Bearer ${to.writeKey}` } });
      assert.equal(wrong.status, 405);
      assert.match(wrong.headers.get("allow"), /POST/);
      assert.equal((await wrong.json()).error.reason, "method_not_allowed");
    },
  },
  {
    name: "slow-body", title: "A body that stops coming gets 408, which is passing", clauses: ["GW-REPLY-8"],
    async run(to) {
      const { hostname, port, protocol } = new URL(to.url);
      const secure = protocol === "https:";
      const place = { host: hostname, port: Number(port || (secure ? 443 : 80)), servername: hostname };
      const socket = secure ? tls.connect(place) : net.connect(place);
      socket.write(`POST /v1/events HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${to.writeKey}\r\ncontent-type: application/json\r\ncontent-length: 1000\r\n\r\n{"events":[`);
      let said = "";
      socket.on("data", (data) => { said += data; });
      socket.on("error", () => {});
      await eventually(() => said, (text) => text.includes("body_too_slow"), 35_000, 200);
      socket.destroy();
      assert.match(said, /^HTTP\/1\.1 408 /);
      assert.match(said, /retry-after: \d+/i);
      assert.match(said, /"retry_after_ms":\d+/);
    },
  },
  {
    name: "unknown-keys", title: "An address that tries keys is slowed down with 429", clauses: ["GW-REPLY-8"],
    async run(to) {
      let last;
      for (let i = 0; i < 200 && last?.status !== 429; i += 1) last = await to.post({ events: [] }, { key: `no-${i}` });
      refused(last, 429, "rate_limited");
      assert.equal((await to.post({ events: [] })).status, 200, "a known key is not slowed down");
    },
  },
];

/** fetch() forbids to ask as a browser does. */
function options(url, headers) {
  return new Promise((resolve, reject) => {
    const { request } = url.startsWith("https:") ? https : http;
    const call = request(url, { method: "OPTIONS", headers }, (answer) => {
      answer.resume();
      answer.on("end", () => resolve({ status: answer.statusCode, headers: answer.headers }));
    });
    call.on("error", reject);
    call.end();
  });
}
