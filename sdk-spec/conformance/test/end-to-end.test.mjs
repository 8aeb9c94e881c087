// The reference SDK against the real gateway, through a proxy that answers 503,
// cuts connections before and after the gateway has taken a batch, and is slow,
// while client and gateway are killed on the way: nothing is lost, nothing is
// counted twice.

import assert from "node:assert/strict";
import { once } from "node:events";
import fs from "node:fs";
import http from "node:http";
import os from "node:os";
import path from "node:path";
import test from "node:test";
import { createHost, storage } from "../../sdk/test/fake-host/index.mjs";
import { create } from "../../sdk/dist/node.mjs";
import { Target } from "../lib/gateway.mjs";
import { startGateway, stopGateway } from "../lib/process.mjs";
import { eventually, sleep } from "../lib/util.mjs";

const DEMO = { writeKey: "demo-write-key", readToken: "demo-read-token", app: "demo" };
/** What becomes of the n-th request with events, over and over; then all is well. */
const FAULTS = ["ok", "503", "before", "after", "ok", "429", "after", "slow", "502"];
const FAULTY_REQUESTS = 18;

async function proxy(target) {
  const state = { target, seen: {}, requests: 0 };
  const server = http.createServer(async (request, response) => {
    const chunks = [];
    for await (const chunk of request) chunks.push(chunk);
    const events = request.url.startsWith("/v1/events");
    const fault = events && state.requests < FAULTY_REQUESTS ? FAULTS[state.requests % FAULTS.length] : "ok";
    if (events) {
      state.requests += 1;
      state.seen[fault] = (state.seen[fault] ?? 0) + 1;
    }
    if (fault === "before") return request.socket.destroy();
    if (fault === "503" || fault === "429" || fault === "502") {
      response.writeHead(Number(fault), fault === "502" ? {} : { "retry-after": "1" });
      return response.end(fault === "502" ? "<html>bad gateway</html>" : undefined);
    }
    const body = request.method === "POST" ? Buffer.concat(chunks) : undefined;
    const { authorization } = request.headers;
    const answer = await fetch(state.target + request.url, { method: request.method, body, headers: { authorization, "content-type": "application/json" } }).catch(() => undefined);
    if (!answer || fault === "after") return request.socket.destroy();
    const text = await answer.text();
    if (fault === "slow") await sleep(2500);
    response.writeHead(answer.status, { "content-type": "application/json" });
    return response.end(text);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return Object.assign(state, { url: `http://127.0.0.1:${server.address().port}`, close: () => { server.close(); server.closeAllConnections(); } });
}

/** Clients that can be killed and started again on what they stored. */
const CLIENTS = {
  node() {
    const dir = fs.mkdtempSync(path.join(os.tmpdir(), "sluice-e2e-"));
    return {
      start: (options) => create({ ...options, dir }),
      kill: (client) => client.close(),
      end: () => fs.rmSync(dir, { recursive: true, force: true }),
    };
  },
  wx() {
    const disk = storage();
    let host;
    return {
      start(options) {
        host = createHost("wx", { disk });
        host.sluice.init(options);
        return host.sluice;
      },
      kill: () => host.kill(),
      end() {},
    };
  },
};

for (const [platform, make] of Object.entries(CLIENTS)) {
  test(`${platform}: every event is counted once, whatever happens on the way`, async () => {
    let gateway = await startGateway();
    const way = await proxy(gateway.url);
    const client = make();
    const to = new Target({ ...DEMO, url: gateway.url });
    const name = `e2e_${to.run}`;
    const options = { url: way.url, key: DEMO.writeKey, auto: false, timeout_ms: 1500, retry_base_ms: 50, onProblem() {} };
    let sdk = client.start(options);
    let n = 0;
    const report = async (count) => {
      for (let i = 0; i < count; i += 1) {
        assert.ok(sdk.track(name, { n }), "the event was not taken");
        n += 1;
        if (i % 10 === 0) await sleep(10);
      }
      sdk.flush();
    };
    try {
      await report(150);
      await eventually(() => way.requests, (requests) => requests >= 6, 20_000);
      await sleep(700);
      client.kill(sdk);
      sdk = client.start(options);
      await report(150);
      await eventually(() => way.requests, (requests) => requests >= 12, 20_000);
      await stopGateway(gateway, { signal: "SIGKILL", keep: true });
      await report(100);
      gateway = await startGateway({ dir: gateway.dir });
      way.target = to.url = gateway.url;
      const left = await eventually(() => { sdk.flush(); return sdk.state().waiting; }, (waiting) => waiting === 0, 60_000);
      assert.equal(left, 0, "events still wait");
      await to.counted(n, name);
      const rows = await to.ask({ metrics: ["event_count"], dimensions: ["properties.n"], filters: [["is", "name", [name]]], limit: 1000 });
      assert.equal(rows.length, n);
      assert.ok(rows.every((row) => row.metrics[0] === 1), "an event is counted more than once");
      for (const fault of ["503", "429", "502", "before", "after"]) assert.ok(way.seen[fault] > 0, `${fault} did not happen`);
    } finally {
      client.kill(sdk);
      way.close();
      await stopGateway(gateway);
      client.end();
    }
  });
}
