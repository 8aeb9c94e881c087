// The schemas against the vectors, the table of reasons, the gateway's own
// constants, and replies of a running gateway.

import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import test, { after, before } from "node:test";
import zlib from "node:zlib";
import Ajv2020 from "ajv/dist/2020.js";
import { startGateway, stopGateway } from "../lib/process.mjs";

const SPEC = path.join(import.meta.dirname ?? path.dirname(new URL(import.meta.url).pathname), "../..");
const read = (file) => fs.readFileSync(path.join(SPEC, file), "utf8");
const schema = (name) => JSON.parse(read(`schema/${name}.json`));
const ajv = new Ajv2020({ allErrors: false, strict: false });
const batch = ajv.compile(schema("batch"));
const reply = ajv.compile(schema("reply"));
const config = ajv.compile(schema("config"));
const event = ajv.compile({ $ref: "urn:sluice:v1:batch#/$defs/event" });

function holds(validate, value, what) {
  assert.ok(validate(value), `${what}: ${ajv.errorsText(validate.errors)} in ${JSON.stringify(value).slice(0, 400)}`);
}

/** Head and body of a raw request. */
function request(raw) {
  const at = raw.indexOf("\r\n\r\n");
  const headers = Object.fromEntries(
    raw.subarray(0, at).toString().split("\r\n").slice(1).map((line) => {
      const colon = line.indexOf(":");
      return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()];
    }),
  );
  return { headers, body: raw.subarray(at + 4) };
}

function inflate({ headers, body }) {
  if (headers["content-encoding"] === "gzip") return zlib.gunzipSync(body);
  if (headers["content-encoding"] === "deflate") return zlib.inflateSync(body);
  return body;
}

// Those in JSON: the schemas say nothing of protobuf.
const vectors = fs.readdirSync(path.join(SPEC, "vectors/native")).filter((name) => /^(?!.*protobuf).*\.http$/.test(name));

test("every vector's reply is one that the schema knows", () => {
  for (const folder of ["native", "sensors"]) {
    for (const name of fs.readdirSync(path.join(SPEC, "vectors", folder))) {
      if (!name.endsWith(".json")) continue;
      const { body, status } = JSON.parse(read(`vectors/${folder}/${name}`)).reply;
      if (typeof body !== "object" || folder === "sensors") continue;
      holds(reply, status === 200 ? { ...body, server_time: 1 } : body, name);
    }
  }
});

for (const name of vectors) {
  test(`vectors/native/${name}: the schema takes the events that the gateway takes`, () => {
    const sent = request(fs.readFileSync(path.join(SPEC, "vectors/native", name)));
    const expected = JSON.parse(read(`vectors/native/${name.replace(".http", ".json")}`));
    let body;
    try {
      body = JSON.parse(inflate(sent).toString());
      if (typeof body === "string") body = JSON.parse(body);
    } catch {
      assert.equal(expected.reply.body.error.reason, "body_invalid");
      return undefined;
    }
    if (!expected.events) {
      assert.ok(!batch(body), "the gateway refuses this body, the schema takes it");
      return undefined;
    }
    body.events.forEach((one, index) => {
      const bad = expected.events[index].bad;
      if (bad?.reason === "event_too_large") return; // bytes are beyond a schema
      assert.equal(event(one), !bad, `event ${index}: ${ajv.errorsText(event.errors)} but ${JSON.stringify(bad)}`);
    });
    return undefined;
  });
}

test("reasons: schema, contract and gateway name the same", () => {
  const documented = [...read("collect.md").matchAll(/<a id="(\w+)"><\/a>/g)].map((found) => found[1]);
  const source = read("../gateway/event/src/reason.rs");
  const built = [...source.matchAll(/^ {4}\w+ = "(\w+)", \d+, \w+, \w+;$/gm)].map((found) => found[1]);
  const named = schema("reply").$defs.error.properties.reason.enum;
  assert.ok(built.length > 30, "reason.rs could not be read");
  assert.deepEqual([...named].sort(), [...documented].sort());
  assert.deepEqual([...named].sort(), [...built].sort());
});

test("limits: schema and gateway hold the same", () => {
  const source = read("../gateway/event/src/limits.rs");
  const limit = (name) => {
    const found = source.match(new RegExp(`pub const ${name}: \\w+ = ([\\d_ *]+);`));
    return found[1].replaceAll("_", "").split("*").map(Number).reduce((a, b) => a * b);
  };
  const { properties, $defs } = schema("batch");
  const fields = $defs.event.properties;
  assert.equal(properties.events.maxItems, limit("BATCH_EVENTS_MAX"));
  assert.equal(fields.device_id.maxLength, limit("DEVICE_ID_BYTES_MAX"));
  assert.equal(fields.user_id.maxLength, limit("USER_ID_BYTES_MAX"));
  assert.equal(fields.session_id.maxLength, limit("SESSION_ID_BYTES_MAX"));
  assert.equal(fields.ids.maxProperties, limit("IDS_MAX"));
  assert.equal(fields.scene.maxLength, limit("TEXT_BYTES_MAX"));
  assert.equal($defs.level1.maxProperties, limit("PROPERTIES_MAX"));
  assert.equal($defs.key.maxLength, limit("PROPERTY_KEY_BYTES_MAX"));
  assert.ok(fields.id.pattern.includes(`{1,${limit("EVENT_ID_BYTES_MAX")}}`));
  assert.ok(fields.name.pattern.includes(`{0,${limit("EVENT_NAME_BYTES_MAX") - 1}}`));
});

let gateway;
before(async () => { gateway = await startGateway(); });
after(() => stopGateway(gateway));

async function post(body, headers = {}, where = "/v1/events") {
  const text = typeof body === "string" ? body : JSON.stringify(body);
  const answer = await fetch(gateway.url + where, {
    method: "POST", body: text, headers: { authorization: "Bearer demo-write-key", ...headers },
  });
  return { status: answer.status, body: await answer.json() };
}

const GOOD = () => ({ id: `schema-${Math.random()}`, name: "page_view", time: Date.now(), device_id: "d-1" });

/** What may be wrong with an event, and what is only odd. */
const EVENTS = [
  {}, { id: 5 }, { id: "" }, { id: "a b" }, { id: "x".repeat(65) }, { id: "x".repeat(64) }, { name: "" },
  { name: "1a" }, { name: "$a.b-c_d" }, { name: "x".repeat(129) }, { name: null }, { time: "1" }, { time: 1.5 },
  { type: "exposure" }, { type: "" }, { type: null }, { type: "perf" }, { user_id: 5 }, { user_id: "u".repeat(256) },
  { user_id: null }, { session_id: "s".repeat(65) }, { seq: -1 }, { seq: 1.5 }, { seq: 7 }, { seq: "7" },
  { ids: { openid: "o" } }, { ids: { openid: 5 } }, { ids: { openid: null } }, { ids: [] },
  { ids: Object.fromEntries(Array.from({ length: 17 }, (_, i) => [`k${i}`, "v"])) },
  { page: { path: "p", extra: 1 } }, { page: { path: 5 } }, { page: "p" }, { scene: "x".repeat(8193) }, { scene: 1001 },
  { properties: { a: { b: { c: 1 } } } }, { properties: { a: { b: { c: { d: 1 } } } } }, { properties: { a: [[1]] } },
  { properties: { a: [[[1]]] } }, { properties: [] }, { properties: "{}" }, { properties: { ["k".repeat(129)]: 1 } },
  { properties: Object.fromEntries(Array.from({ length: 101 }, (_, i) => [`k${i}`, 1])) },
  { properties: { long: "x".repeat(9000) } }, { unknown: [1, { a: null }] },
];

test("running gateway: schema and verdict agree on every odd event", async () => {
  for (const odd of EVENTS) {
    const one = { ...GOOD(), ...odd };
    const { status, body } = await post({ events: [one] }, {}, "/v1/debug/validate");
    assert.equal(status, 200);
    holds(reply, body, JSON.stringify(odd));
    assert.equal(event(one), body.rejected === 0, `${JSON.stringify(odd).slice(0, 100)}: ${JSON.stringify(body)}`);
  }
});

test("running gateway: schema and verdict agree on every odd batch", async () => {
  const odd = [
    {}, { events: {} }, { events: null }, { events: [], platform: 5 }, { events: [], sdk: "x" }, { events: [], sdk: null },
    { events: [], tz_offset_min: "480" }, { events: [], tz_offset_min: -720 }, { events: [], dropped: -1 },
    { events: [], attempt: 1.5 }, { events: [], sent_at: "x" }, { events: [], sent_at: null }, { events: [], env: "" },
    { events: [], app_version: "x".repeat(8193) }, { events: [], device: { model: 5 } }, { events: [], future: {} },
    { events: Array.from({ length: 501 }, GOOD) }, [], "x",
  ];
  for (const one of odd) {
    const { status, body } = await post(one, {}, "/v1/debug/validate");
    holds(reply, body, JSON.stringify(one).slice(0, 100));
    assert.equal(batch(one), status === 200, `${JSON.stringify(one).slice(0, 100)}: ${JSON.stringify(body)}`);
  }
});

test("running gateway: receipts, refusals and the config are as the schemas say", async () => {
  const one = GOOD();
  for (const body of [{ events: [] }, { events: [one, one, { ...one, id: 7 }] }, { events: [one] }, "x", "[]", { app_id: "other", events: [] }]) {
    holds(reply, (await post(body)).body, "POST /v1/events");
  }
  for (const headers of [{ authorization: "Bearer nope" }, { "content-type": "image/png" }, { "content-encoding": "br" }, { "content-encoding": "gzip" }]) {
    const answer = await post({ events: [] }, headers);
    assert.ok(answer.status >= 400);
    holds(reply, answer.body, JSON.stringify(headers));
  }
  const settings = await fetch(`${gateway.url}/v1/config?key=demo-write-key`);
  holds(config, await settings.json(), "GET /v1/config");
});
