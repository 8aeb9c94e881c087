// A TCP proxy in front of the gateway that fails requests as it is told. Of
// HTTP/1.1 and HTTP/2 it understands only where a request and where its answer
// begins: a fault hits a request, not a connection that happens to be opened.

import { once } from "node:events";
import net from "node:net";

const PREFACE_BYTES = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".length;
const FRAME_HEAD_BYTES = 9;
const HEADERS = 1;

/**
 * Listens on a free port of 127.0.0.1 and passes on to `target` (HOST:PORT;
 * while there is none, connections wait). Its faults, one request each:
 * - `cutBefore`: so many requests end in a reset, the gateway never sees them;
 * - `cutAfter`: so many end in a reset once the gateway has answered;
 * - `slow`: so many answers are held back for `slowMs`.
 * `path`: only requests whose first piece names it (HTTP/1.1); else any.
 * `seen` counts requests, `hit` those that were failed.
 */
export async function startProxy(target, faults = {}) {
  const proxy = { target, faults: { cutBefore: 0, cutAfter: 0, slow: 0, slowMs: 0, ...faults }, seen: 0, hit: 0 };
  const open = new Set();
  const server = net.createServer({ noDelay: true, pauseOnConnect: true }, (client) => {
    open.add(client);
    client.on("close", () => open.delete(client));
    client.on("error", () => client.destroy());
    pass(client, proxy);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  proxy.address = `127.0.0.1:${server.address().port}`;
  proxy.close = () => {
    server.close();
    for (const client of open) client.destroy();
  };
  return proxy;
}

async function pass(client, proxy) {
  while (!proxy.target && !client.destroyed) await new Promise((resolve) => setTimeout(resolve, 20));
  if (client.destroyed) return;
  const [host, port] = proxy.target.split(":");
  const upstream = net.connect({ host, port: Number(port), noDelay: true });
  const link = { client, upstream, proxy, fault: undefined, answered: true, held: undefined, timer: undefined };
  let http2;
  let requests;
  const answers = messages(0);
  client.on("data", (data) => {
    http2 ??= data.subarray(0, 3).toString() === "PRI";
    requests ??= messages(PREFACE_BYTES);
    const begun = http2 ? requests(data) : link.answered ? [0] : [];
    const meant = http2 || !proxy.faults.path || data.includes(proxy.faults.path);
    if (begun.every((stream) => request(link, stream, meant))) upstream.write(data);
  });
  upstream.on("data", (data) => {
    const begun = http2 ? answers(data) : link.answered ? [] : [0];
    if (!begun.every((stream) => answer(link, stream))) return;
    if (link.held) link.held.push(data);
    else client.write(data);
  });
  upstream.on("end", () => (link.held ? link.held.push(undefined) : client.end()));
  upstream.on("error", () => client.destroy());
  client.on("end", () => upstream.end());
  client.on("close", () => {
    clearTimeout(link.timer);
    upstream.destroy();
  });
  client.resume();
}

/** A request begins: whether it is passed on, and which fault is its lot. */
function request(link, stream, meant) {
  const { proxy } = link;
  proxy.seen += 1;
  link.answered = false;
  const kind = ["cutBefore", "cutAfter", "slow"].find((fault) => proxy.faults[fault] > 0);
  if (!kind || !meant || link.fault) return true;
  proxy.faults[kind] -= 1;
  link.fault = { kind, stream };
  return kind !== "cutBefore" || cut(link);
}

/** An answer begins, so the gateway has taken the request: whether it is passed on. */
function answer(link, stream) {
  link.answered = true;
  if (link.fault?.stream !== stream) return true;
  const { kind } = link.fault;
  link.fault = undefined;
  if (kind === "cutAfter") return cut(link);
  link.proxy.hit += 1;
  link.held ??= [];
  // A second one on the same connection: both wait for the later of the two.
  clearTimeout(link.timer);
  link.timer = setTimeout(() => {
    for (const data of link.held) data ? link.client.write(data) : link.client.end();
    link.held = undefined;
  }, link.proxy.faults.slowMs);
  return true;
}

function cut({ proxy, client, upstream }) {
  proxy.hit += 1;
  client.resetAndDestroy();
  upstream.destroy();
  return false;
}

/** HTTP/2: tells of each piece of one direction which streams have a HEADERS frame in it. */
function messages(prefaceBytes) {
  let skip = prefaceBytes;
  let rest = Buffer.alloc(0);
  return (data) => {
    const streams = [];
    rest = Buffer.concat([rest, data]);
    while (true) {
      const skipped = Math.min(skip, rest.length);
      rest = rest.subarray(skipped);
      skip -= skipped;
      if (skip > 0 || rest.length < FRAME_HEAD_BYTES) return streams;
      if (rest[3] === HEADERS) streams.push(rest.readUInt32BE(5) & 0x7fffffff);
      skip = FRAME_HEAD_BYTES + rest.readUIntBE(0, 3);
    }
  };
}
