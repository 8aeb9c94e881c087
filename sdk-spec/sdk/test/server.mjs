// A gateway in a few lines for tests: takes all, unless told otherwise.

import { once } from "node:events";
import http from "node:http";

export async function serve({ config = {}, answer } = {}) {
  const state = {
    batches: [], requests: [], configs: 0, seen: new Set(), answer,
    config: { enabled: true, sample_rate: 1, flush_interval_ms: 100, batch_events_max: 50, ...config },
  };
  const server = http.createServer(async (request, response) => {
    const chunks = [];
    for await (const chunk of request) chunks.push(chunk);
    state.requests.push(request.url);
    if (request.url.startsWith("/v1/config")) return settings(state, request, response);
    const batch = JSON.parse(Buffer.concat(chunks).toString());
    state.batches.push(batch);
    const told = state.answer?.(batch, state.batches.length) ?? {};
    if (told.reset) return request.socket.destroy();
    const { status = 200, headers = {}, body = receipt(state, batch) } = told;
    response.writeHead(status, { "content-type": "application/json", ...headers });
    return response.end(typeof body === "string" ? body : JSON.stringify(body));
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return Object.assign(state, {
    url: `http://127.0.0.1:${server.address().port}`,
    names: () => state.batches.flatMap((batch) => batch.events.map((event) => event.name)),
    events: () => state.batches.flatMap((batch) => batch.events),
    close: () => { server.close(); server.closeAllConnections(); },
  });
}

function settings(state, request, response) {
  state.configs += 1;
  const text = JSON.stringify(state.config);
  const etag = `"${Buffer.from(text).toString("base64url").slice(0, 20)}"`;
  const known = request.headers["if-none-match"] === etag;
  if (known) state.notModified = (state.notModified ?? 0) + 1;
  response.writeHead(known ? 304 : 200, { etag, "content-type": "application/json" });
  response.end(known ? undefined : text);
}

function receipt(state, batch) {
  const results = [];
  batch.events.forEach((event, index) => {
    if (state.seen.has(event.id)) results.push({ index, id: event.id, outcome: "duplicate" });
    state.seen.add(event.id);
  });
  const duplicates = results.length;
  return { accepted: batch.events.length - duplicates, duplicates, rejected: 0, retry: 0, results, server_time: Date.now() };
}

export const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** Waits until `good()`, at most `within` ms. */
export async function until(good, what, within = 15000) {
  const end = Date.now() + within;
  while (!good()) {
    if (Date.now() > end) throw new Error(`not within ${within} ms: ${what}`);
    await sleep(10);
  }
}
