// The published DataRangers SDK against the gateway: each event once, whatever
// the connection does.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import fs from "node:fs";
import http from "node:http";
import path from "node:path";
import test from "node:test";
import * as gw from "../sensors/gateway.mjs";

// What `visit` does, in our vocabulary. The change of the user ends the stay of
// the one and begins that of the other (app_hide, app_show).
const NAMES = [
  ["addToCart", 1], ["app_hide", 2], ["app_launch", 1], ["app_show", 1], ["order", 1],
  ["page_leave", 1], ["page_view", 1], ["user_set", 1],
];
const REFUSING = { SLUICE_LOG__DISK_RESERVE_BYTES: String(2 ** 60) };

/** Runs a scene of session.mjs; gives how many batches waited after each step. */
async function run(serverUrl, scene, file = "") {
  const script = path.join(import.meta.dirname, "session.mjs");
  const child = spawn(process.execPath, [script, serverUrl, scene, file], { stdio: ["ignore", "pipe", "inherit"] });
  let printed = "";
  child.stdout.on("data", (chunk) => (printed += chunk));
  const [code] = await once(child, "close");
  if (code !== 0) throw new Error(`the scene ended with ${code}`);
  return JSON.parse(printed);
}

async function names(gateway) {
  const rows = await gw.ask(gateway, ["event_count"], ["name"]);
  return rows.sort(([one], [other]) => (one < other ? -1 : 1));
}

async function check(gateway, wanted) {
  assert.deepEqual(await gw.eventually(() => names(gateway), wanted), wanted);
}

async function duplicates(gateway) {
  const metrics = await (await fetch(`http://${gateway.admin}/metrics`)).text();
  const counts = [...metrics.matchAll(/^sluice_append_events_total\{.*duplicate.*\} (\d+)$/gm)];
  return counts.reduce((sum, [, count]) => sum + Number(count), 0);
}

const withGateway = (body) =>
  gw.withGateway((gateway) => body(gateway, path.join(gateway.dir, "sdk-storage.json")));

test("every event of a visit is counted once, for who and where it was", () =>
  withGateway(async (gateway) => {
    assert.deepEqual(await run(`http://${gateway.http}`, "visit"), [0, 0, 0, 0]);
    await check(gateway, NAMES);
    assert.deepEqual(await gw.ask(gateway, ["event_count"], ["page.path"]), [
      ["pages/index/index", 8],
      [null, 1],
    ]);
    assert.deepEqual(await gw.ask(gateway, ["event_count"], ["platform"]), [["jd", 9]]);
    const timeline = await gw.timeline(gateway, "user-42");
    assert.deepEqual([...timeline].sort(), ["app_hide", "app_show", "order", "page_leave", "user_set"]);
    const reply = await fetch(`http://${gateway.http}/v1/apps/demo/users/user-42`, {
      headers: { authorization: "Bearer demo-read-token" },
    });
    assert.equal((await reply.json()).properties.level, "gold");
  }));

test("the web id is the gateway's, and stays", () =>
  withGateway(async (gateway, file) => {
    await run(`http://${gateway.http}`, "back", file);
    const token = () => new Map(JSON.parse(fs.readFileSync(file, "utf8"))).get("__tea_cache_tokens_10001");
    const { web_id } = token();
    assert.match(web_id, /^[1-8]\d{18}$/);
    await run(`http://${gateway.http}`, "tries", file);
    assert.equal(token().web_id, web_id);
    assert.deepEqual(await gw.timeline(gateway, web_id), ["order"]);
  }));

test("replies that are cut make the SDK send again, and nothing is counted twice", () =>
  withGateway(async (gateway, file) => {
    await run(`http://${gateway.http}`, "back", file);
    const faults = { cutReplies: 2 };
    const proxy = await gw.proxy(gateway.http, faults);
    const kept = await run(`http://${proxy.url}`, "tries", file);
    proxy.close();
    assert.equal(faults.cutReplies, 0, "the fault did not happen");
    assert.deepEqual(kept, [0, 1, 1, 0, 0]);
    await check(gateway, [["order", 1]]);
  }));

// Events of before the SDK's start are stored as they are, and composed anew on
// every try: with the page that is open then, or none.
test("early events whose replies are cut come again otherwise composed, and are counted once", () =>
  withGateway(async (gateway, file) => {
    const faults = { cutReplies: 0 };
    const proxy = await gw.proxy(gateway.http, faults);
    const wanted = [["app_hide", 1], ["app_launch", 1], ["early", 40], ["page_leave", 1], ["page_view", 1]];
    await run(`http://${gateway.http}`, "back", file);
    faults.cutReplies = 99;
    await run(`http://${proxy.url}`, "early", file);
    proxy.close();
    assert.ok(faults.cutReplies < 99, "the fault did not happen");
    await check(gateway, wanted);
    const before = await duplicates(gateway);
    await run(`http://${gateway.http}`, "back", file);
    assert.equal(await duplicates(gateway), before + 44);
    await check(gateway, wanted);
  }));

test("an outage over many tries and a restart of the app loses nothing", async () => {
  const dir = gw.dataDir();
  const file = path.join(dir, "sdk-storage.json");
  let gateway = await gw.start(dir, { env: REFUSING });
  try {
    assert.deepEqual(await run(`http://${gateway.http}`, "tries", file), [0, 1, 1, 1, 1]);
    assert.deepEqual(await run(`http://${gateway.http}`, "back", file), [1]);
    await gw.stop(gateway);
    gateway = await gw.start(dir);
    assert.deepEqual(await run(`http://${gateway.http}`, "back", file), [0]);
    await check(gateway, [["order", 1]]);
  } finally {
    await gw.stop(gateway);
    fs.rmSync(dir, { recursive: true, force: true });
  }
});

// Why there is no reply where something must come again: what the SDK does with
// each reply to `/list/`, the first time and later. If this fails with a newer
// version, the dialect has to be looked at again.
for (const [answer, expected] of [
  [200, "dropped"], [400, "dropped"], [429, "dropped"], [501, "dropped"],
  [500, "kept once"], [502, "kept once"], [503, "kept once"], [504, "kept once"],
  ["none", "kept"],
]) {
  test(`the SDK, answered ${answer}: ${expected}`, async () => {
    let lists = 0;
    const server = http.createServer((request, reply) => {
      if (!request.url.startsWith("/list/")) return void reply.end(`{"e":0,"web_id":"7571234567890123456"}`);
      lists += 1;
      if (answer === "none") return void request.socket.destroy();
      reply.writeHead(answer, { "content-type": "application/json", "retry-after": "1" });
      reply.end(`{"e":0}`);
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    const kept = await run(`http://127.0.0.1:${server.address().port}`, "tries");
    server.closeAllConnections();
    server.close();
    // Answered after: the web id, the event, and three times on coming back.
    const outcome = { dropped: [[0, 0, 0, 0, 0], 1], "kept once": [[0, 1, 0, 0, 0], 2], kept: [[0, 1, 1, 1, 1], 4] };
    assert.deepEqual([kept, lists], outcome[expected]);
  });
}
