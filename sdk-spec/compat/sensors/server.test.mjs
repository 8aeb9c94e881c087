// The Sensors SDK for Python servers against the gateway, and what makes it
// keep its events.

import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import fs from "node:fs";
import http from "node:http";
import os from "node:os";
import path from "node:path";
import readline from "node:readline";
import test, { after } from "node:test";
import * as gw from "./gateway.mjs";

// Two of the seven calls are of kinds that are not taken.
const NAMES = [["$BindID", 1], ["$SignUp", 1], ["order", 1], ["user_set", 1], ["view_item", 1]];
const REFUSING = { SLUICE_LOG__DISK_RESERVE_BYTES: String(2 ** 60) };

const VENV = fs.mkdtempSync(path.join(os.tmpdir(), "sluice-compat-python-"));
const PYTHON = path.join(VENV, "bin/python");
after(() => fs.rmSync(VENV, { recursive: true, force: true }));

function command(program, args) {
  const { error, status, stderr } = spawnSync(program, args, { cwd: import.meta.dirname, encoding: "utf8" });
  if (error || status !== 0) throw new Error(`python3 with venv is needed for this test: ${error ?? stderr}`);
}
command("python3", ["-m", "venv", VENV]);
command(PYTHON, ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r", "requirements.txt"]);

/** The SDK in a process of its own; `line()` is its next line, `flush()` makes it try. */
function python(serverUrl, mode) {
  const script = path.join(import.meta.dirname, "server.py");
  const child = spawn(PYTHON, [script, serverUrl, mode], {
    env: { ...process.env, NO_PROXY: "127.0.0.1" },
    stdio: ["pipe", "pipe", "inherit"],
  });
  const lines = readline.createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const line = async () => (await lines.next()).value;
  return {
    line,
    flush: () => (child.stdin.write("\n"), line()),
    async end() {
      child.stdin.end();
      if (child.exitCode === null) await once(child, "exit");
      assert.equal(child.exitCode, 0);
    },
  };
}

async function check(gateway) {
  const names = async () => (await gw.ask(gateway, ["event_count"], ["name"])).sort();
  assert.deepEqual(await gw.eventually(names, NAMES), NAMES);
}

test("default: each event is sent by itself and counted once", () =>
  gw.withGateway(async (gateway) => {
    const sdk = python(`http://${gateway.http}/sa?project=default`, "default");
    for (let n = 0; n < 7; n += 1) assert.equal(await sdk.line(), "sent");
    await sdk.end();
    await check(gateway);
    const timeline = await gw.timeline(gateway, "user-42");
    assert.deepEqual([...timeline].sort(), ["$BindID", "$SignUp", "order", "user_set"]);
    assert.deepEqual(await gw.timeline(gateway, "device-7"), ["view_item"]);
  }));

test("batch: replies that are cut are errors to it; the same events come again, and are counted once", () =>
  gw.withGateway(async (gateway) => {
    const proxy = await gw.proxy(gateway.http, { cutReplies: 2 });
    const sdk = python(`http://${proxy.url}/sa?project=default`, "batch");
    for (let n = 0; n < 2; n += 1) assert.notEqual(await sdk.flush(), "sent");
    assert.equal(await sdk.flush(), "sent");
    await sdk.end();
    proxy.close();
    await check(gateway);
  }));

test("batch: while the log takes nothing it gets no reply and keeps its events", async () => {
  const dir = gw.dataDir();
  let gateway = await gw.start(dir, { env: REFUSING });
  const [, port] = gateway.http.split(":");
  const sdk = python(`http://${gateway.http}/sa?project=default`, "batch");
  try {
    for (let n = 0; n < 3; n += 1) assert.equal(await sdk.flush(), "RemoteDisconnected");
    await gw.stop(gateway);
    gateway = await gw.start(dir, { port });
    assert.equal(await sdk.flush(), "sent");
    await check(gateway);
  } finally {
    await sdk.end();
    await gw.stop(gateway);
    fs.rmSync(dir, { recursive: true, force: true });
  }
});

for (const [answer, expected] of [
  [200, "sent"], [400, "SensorsAnalyticsNetworkException"], [401, "SensorsAnalyticsNetworkException"],
  [503, "SensorsAnalyticsNetworkException"], ["none", "RemoteDisconnected"],
]) {
  test(`batch, answered ${answer}: ${expected}, and the next try sends ${answer === 200 ? "nothing" : "the same"}`, async () => {
    let tries = 0;
    const server = http.createServer(async (request, reply) => {
      for await (const _ of request);
      tries += 1;
      if (answer === "none") return void request.socket.destroy();
      reply.writeHead(answer).end();
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    const sdk = python(`http://127.0.0.1:${server.address().port}/sa`, "batch");
    assert.deepEqual([await sdk.flush(), await sdk.flush()], [expected, expected]);
    await sdk.end();
    server.closeAllConnections();
    server.close();
    assert.equal(tries, answer === 200 ? 1 : 2);
  });
}
