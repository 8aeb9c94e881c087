// What every SDK has to keep in every scenario, judged on what the mock saw.
// Each function yields violations: the clause and what happened.

const ID = /^[!-~]{1,64}$/;
const NAME = /^[$A-Za-z][A-Za-z0-9_.$-]{0,127}$/;
const TYPES = ["track", "user_set", "user_set_once", "user_unset", "alias", "error", "perf", "request"];
const EVENT_BYTES_MAX = 65536;
const BODY_BYTES_MAX = 1 << 20;
/** Timers and loopback are not exact. */
const SLACK_MS = 60;
const CLOSE_MS = 250;
/** Between the stamp and the arrival, on a busy machine. */
const CLOCK_MS = 4000;

/** `run`: posts, kills (times), key, offsetsAt (what the device's clock was off by, about then). */
export function judge(run) {
  return [batches, events, identity, alone, waits, final, halves, clocks].flatMap((rule) => [...rule(run)]);
}

function* batches({ posts, key }) {
  for (const [at, post] of posts.entries()) {
    const place = `request ${at + 1}`;
    if (post.wrong) {
      yield ["SDK-BATCH-7", `${place}: ${post.wrong}`];
      continue;
    }
    const { batch } = post;
    const query = new URL(post.url, "http://x").searchParams.get("key");
    const presented = [post.headers.authorization?.replace(/^bearer /i, ""), post.headers["x-sluice-key"], query];
    if (!presented.includes(key)) yield ["SDK-BATCH-7", `${place}: the key is not presented`];
    if (!Array.isArray(batch.events)) {
      yield ["SDK-EVENT-2", `${place}: events is not an array`];
      continue;
    }
    if (!batch.events.length) yield ["SDK-BATCH-8", `${place}: no events`];
    if (batch.events.length > 500) yield ["SDK-BATCH-1", `${place}: ${batch.events.length} events`];
    if (post.raw.length > BODY_BYTES_MAX) yield ["SDK-BATCH-1", `${place}: ${post.raw.length} bytes`];
    if (!batch.sdk?.name || !batch.sdk?.version) yield ["SDK-BATCH-5", `${place}: sdk.name or sdk.version is missing`];
    if (batch.dropped !== undefined && !(Number.isInteger(batch.dropped) && batch.dropped >= 0)) {
      yield ["SDK-QUEUE-3", `${place}: dropped is ${batch.dropped}`];
    }
  }
}

const bytes = (value) => Buffer.byteLength(value);
const text = (value, max) => value === undefined || value === null || (typeof value === "string" && bytes(value) <= max);

/** What is wrong with an event, by the contract. */
export function fault(event) {
  if (!event || typeof event !== "object") return "is no object";
  if (typeof event.id !== "string" || !ID.test(event.id)) return `id is ${JSON.stringify(event.id)}`;
  if (typeof event.name !== "string" || !NAME.test(event.name)) return `name is ${JSON.stringify(event.name)}`;
  if (!Number.isInteger(event.time)) return `time is ${JSON.stringify(event.time)}`;
  if (!event.device_id || !text(event.device_id, 128)) return `device_id is ${JSON.stringify(event.device_id)}`;
  if (event.type && !TYPES.includes(event.type)) return `type is ${event.type}`;
  if (!text(event.user_id, 255) || !text(event.session_id, 64) || !text(event.scene, 8192)) return "a text is too long or no text";
  if (event.seq !== undefined && !(Number.isInteger(event.seq) && event.seq >= 0)) return `seq is ${event.seq}`;
  for (const field of ["path", "query", "title", "referrer"]) if (!text(event.page?.[field], 8192)) return `page.${field}`;
  const { keys, depth, text: longest } = measure(event.properties ?? {}, 1);
  if (typeof (event.properties ?? {}) !== "object" || Array.isArray(event.properties)) return "properties is no object";
  if (keys > 100) return `properties has ${keys} keys`;
  if (depth > 3) return `properties is ${depth} deep`;
  if (longest > EVENT_BYTES_MAX) return "a property is too long";
  return bytes(JSON.stringify(event)) > EVENT_BYTES_MAX ? "is larger than 64 KiB" : undefined;
}

function measure(value, depth) {
  if (typeof value === "string") return { keys: 0, depth: 0, text: bytes(value) };
  if (value === null || typeof value !== "object") return { keys: 0, depth: 0, text: 0 };
  const inner = Object.values(value).map((one) => measure(one, depth + 1));
  const own = Array.isArray(value) ? 0 : Object.keys(value).length;
  return {
    keys: inner.reduce((sum, one) => sum + one.keys, own),
    depth: Math.max(depth, ...inner.map((one) => one.depth)),
    text: Math.max(0, ...inner.map((one) => one.text)),
  };
}

function* events({ posts }) {
  for (const [at, post] of posts.entries()) {
    for (const event of post.batch?.events ?? []) {
      const wrong = fault(event);
      if (wrong) yield ["SDK-EVENT-2", `request ${at + 1}, event ${event?.name}: ${wrong}`];
      for (const [name, value] of Object.entries(event?.properties ?? {})) {
        if (name.endsWith("_ms") && value < 0) yield ["SDK-TIME-3", `event ${event.name}: ${name} is ${value}`];
      }
    }
  }
}

/** One id per event for ever, and the same event under it. */
function* identity({ posts }) {
  const byId = new Map();
  const byMark = new Map();
  for (const post of posts) {
    for (const event of post.batch?.events ?? []) {
      const mark = event.properties?.n;
      const whole = canonical(event);
      if (byId.has(event.id) && byId.get(event.id) !== whole) yield ["SDK-ID-3", `${event.id}: sent as ${byId.get(event.id)} and as ${whole}`];
      if (mark !== undefined && byMark.has(mark) && byMark.get(mark) !== event.id) {
        yield ["SDK-ID-3", `event n=${mark} was sent as ${byMark.get(mark)} and as ${event.id}`];
      }
      byId.set(event.id, whole);
      if (mark !== undefined) byMark.set(mark, event.id);
    }
    const ids = (post.batch?.events ?? []).map((event) => event.id);
    if (new Set(ids).size < ids.length) yield ["SDK-ID-1", "one batch holds an id twice"];
  }
}

function canonical(value) {
  return JSON.stringify(value, (_, one) =>
    one && typeof one === "object" && !Array.isArray(one) ? Object.fromEntries(Object.entries(one).sort(([a], [b]) => (a < b ? -1 : 1))) : one);
}

function* alone({ posts }) {
  for (let i = 1; i < posts.length; i += 1) {
    const before = posts[i - 1];
    if ((before.closed ?? before.finished ?? Infinity) > posts[i].at + CLOSE_MS && (before.finished ?? Infinity) > posts[i].at) {
      yield ["SDK-BATCH-2", `request ${i + 1} came while request ${i} was under way`];
    }
  }
}

const killedBetween = (kills, from, to) => kills.some((kill) => kill >= from && kill <= to);

function* waits({ posts, kills }) {
  for (const [i, post] of posts.entries()) {
    const next = posts[i + 1];
    if (!post.hold || !post.delivered || !next || killedBetween(kills, post.at, next.at)) continue;
    const waited = next.at - post.replied;
    if (waited < post.hold - SLACK_MS) {
      yield ["SDK-RETRY-4", `request ${i + 2} came ${Math.round(waited)} ms after a reply that asked for ${Math.round(post.hold)}`];
    }
  }
}

/** What a delivered reply made final does not come again. */
function* final({ posts, kills }) {
  const over = new Map();
  for (const [i, post] of posts.entries()) {
    for (const event of post.batch?.events ?? []) {
      const before = over.get(event.id);
      if (before && !killedBetween(kills, before.at, post.at)) {
        yield [before.clause, `request ${i + 1}: event ${event.name} n=${event.properties?.n} came again after ${before.why} in request ${before.i + 1}`];
      }
    }
    if (!post.delivered || !post.batch) continue;
    const { status } = post;
    const dropped = status >= 400 && status < 500 && ![408, 413, 429].includes(status);
    const settled = status > 200 && status < 300;
    post.batch.events?.forEach((event, index) => {
      const fate = post.results?.find((result) => result.index === index)?.outcome;
      const why = dropped || settled ? `status ${status}` : post.receipt && (status === 200 ? fate !== "retry" : fate === "rejected") ? (fate ?? "accepted") : undefined;
      const clause = dropped ? "SDK-RETRY-7" : settled ? "SDK-RETRY-10" : "SDK-RETRY-1";
      if (why) over.set(event.id, { i, at: post.at, why, clause });
    });
  }
}

function* halves({ posts, kills }) {
  for (const [i, post] of posts.entries()) {
    const next = posts[i + 1];
    if (post.status !== 413 || !next?.batch || killedBetween(kills, post.at, next.at)) continue;
    const [sent, then] = [post.batch.events.length, next.batch.events.length];
    if (sent > 1 && then > Math.floor(sent / 2)) yield ["SDK-RETRY-6", `${then} events after 413 for ${sent}`];
    if (sent === 1 && next.batch.events[0].id === post.batch.events[0].id) yield ["SDK-RETRY-6", "an event came again after 413 for it alone"];
  }
}

/** `sent_at` is of the device's clock at each try. */
function* clocks({ posts, offsetsAt }) {
  for (const [i, post] of posts.entries()) {
    if (!post.batch) continue;
    const offs = offsetsAt(post.at).map((offset) => post.batch.sent_at - (post.wall + offset));
    const off = offs.sort((a, b) => Math.abs(a) - Math.abs(b))[0];
    if (!(Math.abs(off) < CLOCK_MS)) yield ["SDK-TIME-2", `request ${i + 1}: sent_at is ${post.batch.sent_at}, ${off} ms off the device's clock`];
  }
}
