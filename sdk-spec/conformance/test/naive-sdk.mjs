// A small SDK behind the adapter protocol, with faults to order: it shows that
// the scenarios see each of them.
//
// usage: node naive-sdk.mjs FAULT   (`none` for the SDK as it should be)

import crypto from "node:crypto";
import fs from "node:fs";
import path from "node:path";
import { serveAdapter } from "../lib/adapter-server.mjs";

const fault = process.argv[2];
const is = (name) => fault === name;
const sdk = { queue: [], dropped: 0, device: undefined, user: undefined, out: false, failures: 0, holdUntil: 0, busy: 0, limit: Infinity, draining: false };
let to;
let config = { enabled: true, sample_rate: 1, flush_interval_ms: 5000, batch_events_max: 50 };

const file = () => path.join(to.dir, "naive.json");

function save() {
  if (is("memory-only")) return;
  const { queue, dropped, device, user, out } = sdk;
  fs.writeFileSync(file(), JSON.stringify({ queue, dropped, device, user, out, config: to.config }));
}

async function init({ url, key, dir, options }) {
  to = { url, key, dir, timeout_ms: options.timeout_ms ?? 15_000 };
  if (fs.existsSync(file())) Object.assign(sdk, JSON.parse(fs.readFileSync(file(), "utf8")));
  sdk.device ??= crypto.randomUUID();
  save();
  const settings = sdk.out ? undefined : await fetch(`${url}/v1/config`, { headers: { authorization: `Bearer ${key}` } }).catch(() => undefined);
  if (settings?.status === 200 && !is("ignores-config")) config = await settings.json();
  setInterval(tick, 20);
}

function track({ name, properties }) {
  if (sdk.out && !is("ignores-opt-out")) return;
  if (!config.enabled && !is("ignores-config")) return;
  const event = { id: crypto.randomUUID(), name, time: Date.now(), device_id: sdk.device, user_id: sdk.user, properties };
  if (JSON.stringify(event).length > 65536 && !is("sends-anything")) return void (sdk.dropped += 1);
  sdk.queue.push({ event, at: Date.now(), stamped: Date.now() });
  save();
}

function tick() {
  if (!sdk.queue.length || (sdk.out && !is("ignores-opt-out"))) return;
  if (sdk.busy && !is("two-at-once")) return;
  if (sdk.busy > 1) return;
  const due = sdk.draining || sdk.failures || sdk.queue.length >= config.batch_events_max;
  const old = Date.now() - sdk.queue[0].at >= config.flush_interval_ms;
  if ((due || old) && Date.now() >= sdk.holdUntil) void send();
}

async function send() {
  const taken = sdk.queue.slice(0, Math.min(config.batch_events_max, sdk.limit));
  if (is("new-ids-on-retry") && sdk.failures) for (const one of taken) one.event.id = crypto.randomUUID();
  const told = sdk.dropped;
  const batch = {
    sdk: { name: "naive", version: "1" }, sent_at: is("stale-sent-at") ? taken[0].stamped : Date.now(),
    attempt: sdk.failures + 1, dropped: is("never-tells") ? 0 : told, events: taken.map((one) => one.event),
  };
  sdk.busy += 1;
  let answer = { status: 0 };
  try {
    const signal = is("no-time-out") ? undefined : AbortSignal.timeout(to.timeout_ms);
    const reply = await fetch(`${to.url}/v1/events`, {
      method: "POST", signal, redirect: "manual", body: JSON.stringify(batch),
      headers: { authorization: `Bearer ${to.key}`, "content-type": "application/json" },
    });
    answer = { status: reply.status, wait: Number(reply.headers.get("retry-after")) * 1000, body: await reply.json().catch(() => ({})) };
  } catch {
    // no answer
  }
  sdk.busy -= 1;
  read(taken, told, answer);
  save();
}

function forget(taken) {
  sdk.queue = sdk.queue.filter((one) => !taken.includes(one));
  if (!sdk.queue.length) sdk.draining = false;
}

function read(taken, told, { status, wait = 0, body = {} }) {
  if (status === 200 && (typeof body.accepted === "number" || is("trusts-any-200"))) {
    const again = new Set();
    for (const { index, outcome } of body.results ?? []) {
      if (outcome === "retry" && !is("forgets-retry")) again.add(taken[index]);
      if (outcome === "rejected" && is("resends-rejected")) again.add(taken[index]);
    }
    sdk.dropped -= told;
    forget(taken.filter((one) => !again.has(one)));
    return again.size ? fail(body.retry_after_ms ?? 0) : void (sdk.failures = 0);
  }
  if (status === 413) {
    if (is("ignores-413")) return fail(100);
    if (taken.length > 1) return void (sdk.limit = Math.floor(taken.length / 2));
  }
  const passing = status < 400 || status === 408 || status === 429 || status >= 500;
  if (passing && !(is("drops-on-503") && status === 503)) return fail(Math.max(wait || 0, body.retry_after_ms ?? 0));
  sdk.dropped += taken.length;
  forget(taken);
  sdk.failures = 0;
  sdk.holdUntil = Date.now() + config.flush_interval_ms;
  return undefined;
}

function fail(wait) {
  const backoff = is("hammers") ? 30 : Math.random() * Math.min(300_000, 1000 * 2 ** sdk.failures);
  sdk.failures += 1;
  sdk.holdUntil = Date.now() + (is("ignores-retry-after") ? 0 : wait) + backoff;
}

function optOut({ out }) {
  sdk.out = out;
  if (out && !is("ignores-opt-out")) Object.assign(sdk, { queue: [], dropped: 0, user: undefined });
  if (!out && !is("same-device")) sdk.device = crypto.randomUUID();
  save();
}

serveAdapter({
  hello: () => ({ name: `naive ${fault}`, capabilities: ["restart", "timeout"] }),
  init,
  track,
  identify: ({ user_id }) => { sdk.user = user_id; save(); },
  reset: () => { sdk.user = undefined; save(); },
  flush: () => { sdk.draining = sdk.queue.length > 0; },
  opt_out: optOut,
  show: () => {},
  hide: () => { sdk.draining = sdk.queue.length > 0; },
});
