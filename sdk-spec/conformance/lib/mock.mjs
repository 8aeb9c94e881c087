// A gateway that faults as a scenario says and writes down what it saw.
//
// Rules are tried in order; one with `times` left, or without `times`, decides
// the next request; with none left everything is accepted.

import { once } from "node:events";
import http from "node:http";
import zlib from "node:zlib";

const CONFIG = { enabled: true, sample_rate: 1, flush_interval_ms: 200, batch_events_max: 10 };
const BODY_BYTES_MAX = 16 << 20;
const REASONS = { 400: "body_invalid", 401: "key_unknown", 403: "key_forbidden", 408: "body_too_slow", 413: "too_many_events", 429: "rate_limited", 503: "overloaded" };

export class Mock {
  constructor({ rules = [], config = {}, config_status = 200 } = {}) {
    this.rules = rules.map((rule) => ({ ...rule }));
    this.config = { ...CONFIG, ...config };
    this.configStatus = config_status;
    /** Every `POST /v1/events`, in order of arrival. */
    this.posts = [];
    /** Every other request: method, path, headers, when. */
    this.others = [];
    /** Ids taken, with how often they came. */
    this.taken = new Map();
    this.offline = false;
    this.sockets = new Set();
  }

  async start() {
    this.server = http.createServer((request, response) => void this.serve(request, response));
    this.server.on("connection", (socket) => {
      if (this.offline) return socket.destroy();
      this.sockets.add(socket);
      return socket.on("close", () => this.sockets.delete(socket));
    });
    this.server.listen(0, "127.0.0.1");
    await once(this.server, "listening");
    this.url = `http://127.0.0.1:${this.server.address().port}`;
  }

  stop() {
    this.server.close();
    for (const socket of this.sockets) socket.destroy();
  }

  /** No network: connections are cut and none is taken. */
  setOffline(offline) {
    this.offline = offline;
    if (offline) for (const socket of this.sockets) socket.destroy();
  }

  setRules(rules) {
    this.rules = rules.map((rule) => ({ ...rule }));
  }

  async serve(request, response) {
    const at = performance.now();
    const path = request.url.split("?")[0];
    const body = await read(request).catch(() => undefined);
    if (body === undefined) return;
    if (request.method === "POST" && path === "/v1/events") return this.events(at, request, response, body);
    this.others.push({ at, method: request.method, path, headers: request.headers });
    if (path === "/v1/config") return this.settings(request, response);
    return reply(response, 404, { error: { reason: "not_found", detail: "nothing here" } });
  }

  settings(request, response) {
    if (this.configStatus !== 200) return reply(response, this.configStatus, {}, {});
    const etag = `"${Buffer.from(JSON.stringify(this.config)).toString("base64url")}"`;
    const known = request.headers["if-none-match"] === etag;
    response.writeHead(known ? 304 : 200, { etag, "content-type": "application/json" });
    return response.end(known ? undefined : JSON.stringify(this.config));
  }

  events(at, request, response, raw) {
    const post = { at, wall: Date.now(), url: request.url, headers: request.headers, raw, ...decoded(request, raw), config: this.config };
    this.posts.push(post);
    response.on("finish", () => { post.finished = performance.now(); });
    response.on("close", () => { post.closed = performance.now(); post.delivered = response.writableFinished; });
    const rule = this.rule();
    post.rule = rule;
    if (rule.reset === "before") return request.socket.destroy();
    const wait = rule.delay_ms ?? 0;
    if (rule.hang) return undefined;
    return setTimeout(() => this.answer(post, rule, request, response), wait);
  }

  rule() {
    const rule = this.rules.find((one) => one.times === undefined || one.times > 0) ?? {};
    if (rule.times !== undefined) rule.times -= 1;
    return rule;
  }

  answer(post, rule, request, response) {
    if (response.destroyed) return undefined;
    post.replied = performance.now();
    const events = post.batch?.events ?? [];
    const headers = hold(post, rule);
    const alone = rule.alone_413 && events.some((event) => event.name === rule.alone_413);
    if ((rule.events_max && events.length > rule.events_max) || alone) {
      post.status = 413;
      return reply(response, 413, { error: { reason: "too_many_events", detail: "halve it", limit: rule.events_max ?? 1 } });
    }
    if (rule.status && rule.status !== 200 && !rule.fates) {
      post.status = rule.status;
      return reply(response, rule.status, rule.body ?? refusal(rule), headers);
    }
    if (rule.body !== undefined) {
      post.status = rule.status ?? 200;
      return reply(response, post.status, rule.body, headers);
    }
    const receipt = this.receipt(post, rule, events);
    if (rule.reset === "after") return request.socket.destroy();
    post.status = rule.status ?? 200;
    post.results = receipt.results;
    post.receipt = true;
    return reply(response, post.status, receipt, headers);
  }

  /** Takes the events as the rule says. */
  receipt(post, rule, events) {
    const counts = { accepted: 0, duplicates: 0, rejected: 0, retry: 0 };
    const results = [];
    events.forEach((event, index) => {
      const fate = fateOf(rule.fates, event);
      if (fate === "accepted" && this.taken.has(event.id)) {
        this.taken.set(event.id, this.taken.get(event.id) + 1);
        counts.duplicates += 1;
        results.push({ index, id: event.id, outcome: "duplicate" });
      } else if (fate === "accepted") {
        this.taken.set(event.id, 1);
        counts.accepted += 1;
      } else {
        counts[fate] += 1;
        const reason = fate === "retry" ? "log_unavailable" : (rule.reason ?? "name_invalid");
        results.push({ index, id: event.id, outcome: fate, reason, detail: `events[${index}]: as the scenario says` });
      }
    });
    post.accepting = true;
    const receipt = { ...counts, results, server_time: Date.now() };
    if (counts.retry) receipt.retry_after_ms = rule.retry_after_ms ?? 200;
    if (counts.retry) post.hold = Math.max(post.hold ?? 0, receipt.retry_after_ms);
    if (rule.status === 503) receipt.error = { reason: "log_unavailable", detail: "nothing durable" };
    return rule.extra ? { ...receipt, ...rule.extra } : receipt;
  }
}

/** `{NAME: fate, odd: fate}`: by name, or for events whose `n` is odd. */
function fateOf(fates, event) {
  if (!fates) return "accepted";
  if (fates[event.name]) return fates[event.name];
  return (event.properties?.n % 2 === 1 && fates.odd) || fates.all || "accepted";
}

/** The wait that a rule asks for, in every form; noted on the record. */
function hold(post, rule) {
  const headers = {};
  let ms = 0;
  if (rule.retry_after_s !== undefined) {
    headers["retry-after"] = String(rule.retry_after_s);
    ms = Math.max(ms, rule.retry_after_s * 1000);
  }
  if (rule.retry_after_date_s !== undefined) {
    // A date has whole seconds: the wait is what is left of it.
    const until = Math.floor(Date.now() / 1000 + rule.retry_after_date_s) * 1000;
    headers["retry-after"] = new Date(until).toUTCString();
    ms = Math.max(ms, until - Date.now() - 100);
  }
  if (rule.retry_after_ms !== undefined) ms = Math.max(ms, rule.retry_after_ms);
  if (ms) post.hold = ms;
  return headers;
}

function refusal(rule) {
  const body = { error: { reason: rule.reason ?? REASONS[rule.status] ?? "overloaded", detail: "as the scenario says" } };
  if (rule.retry_after_ms !== undefined) body.retry_after_ms = rule.retry_after_ms;
  return body;
}

function reply(response, status, body, headers = {}) {
  const text = typeof body === "string" ? body : JSON.stringify(body);
  response.writeHead(status, { "content-type": typeof body === "string" ? "text/html" : "application/json", ...headers });
  response.end(status === 204 ? undefined : text);
}

async function read(request) {
  const chunks = [];
  let bytes = 0;
  for await (const chunk of request) {
    bytes += chunk.length;
    if (bytes > BODY_BYTES_MAX) throw new Error("too large");
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

/** The batch in a body, or what is wrong with it. */
function decoded(request, raw) {
  try {
    const encoding = request.headers["content-encoding"] ?? "identity";
    const inflate = { identity: (body) => body, gzip: zlib.gunzipSync, deflate: zlib.inflateSync }[encoding];
    if (!inflate) throw new Error(`Content-Encoding ${encoding}: this runner reads identity, gzip and deflate`);
    const type = request.headers["content-type"] ?? "";
    if (/protobuf/.test(type)) throw new Error("this runner reads JSON, not protobuf");
    let batch = JSON.parse(inflate(raw).toString());
    if (typeof batch === "string") batch = JSON.parse(batch);
    return { batch };
  } catch (error) {
    return { wrong: error.message };
  }
}
