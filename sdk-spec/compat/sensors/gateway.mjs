// Starts and stops the gateway under test, and asks it.

import { spawn } from "node:child_process";
import { once } from "node:events";
import fs from "node:fs";
import net from "node:net";
import os from "node:os";
import path from "node:path";

const BIN = process.env.SLUICE_BIN;
if (!BIN) throw new Error("SLUICE_BIN must name the sluice binary, e.g. target/release/sluice");

export function dataDir() {
  return fs.mkdtempSync(path.join(os.tmpdir(), "sluice-compat-"));
}

/** `config`: a config file; without one the app `demo` stands in. */
export async function start(dir, { port = 0, env = {}, config } = {}) {
  const args = ["serve", "--listen", `127.0.0.1:${port}`, "--admin-listen", "127.0.0.1:0", "--data-dir", dir];
  if (config) args.push("--config", config);
  const child = spawn(BIN, args, { env: { ...process.env, ...env }, stdio: ["ignore", "pipe", "inherit"] });
  child.stdout.resume();
  const file = path.join(dir, "addresses.json");
  for (let tries = 0; tries < 200; tries += 1) {
    if (child.exitCode !== null) throw new Error(`sluice ended with ${child.exitCode}`);
    if (fs.existsSync(file)) {
      const addresses = JSON.parse(fs.readFileSync(file, "utf8"));
      if (addresses.pid === child.pid) return { child, dir, ...addresses };
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  child.kill("SIGKILL");
  throw new Error(`sluice was not up within 10 s`);
}

export async function stop(gateway) {
  if (gateway.child.exitCode !== null) return;
  const ended = once(gateway.child, "exit");
  gateway.child.kill("SIGTERM");
  await ended;
}

/** Runs `body` with a gateway of its own, on data of its own. */
export async function withGateway(body, options) {
  const dir = dataDir();
  try {
    const gateway = await start(dir, options);
    try {
      await body(gateway);
    } finally {
      await stop(gateway);
    }
  } finally {
    fs.rmSync(dir, { recursive: true, force: true });
  }
}

export async function ask(gateway, metrics, dimensions = []) {
  const reply = await fetch(`http://${gateway.http}/v1/apps/demo/query`, {
    method: "POST",
    headers: { authorization: "Bearer demo-read-token" },
    body: JSON.stringify({ metrics, dimensions, date_range: { last: "7d" } }),
  });
  const answer = await reply.json();
  if (reply.status !== 200) throw new Error(JSON.stringify(answer));
  return answer.results.map((row) => [...row.dimensions, ...row.metrics]);
}

export async function timeline(gateway, user) {
  const url = `http://${gateway.http}/v1/apps/demo/users/${user}/events?limit=100`;
  const reply = await fetch(url, { headers: { authorization: "Bearer demo-read-token" } });
  if (reply.status === 404) return [];
  return (await reply.json()).events.map((event) => event.name).reverse();
}

/** Asks until the answer is as wanted, for at most five seconds. */
export async function eventually(question, wanted) {
  let answer;
  for (let tries = 0; tries < 50; tries += 1) {
    answer = await question();
    if (JSON.stringify(answer) === JSON.stringify(wanted)) return answer;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  return answer;
}

/** A TCP proxy; `faults.cutReplies` closes that many connections instead of passing a reply on. */
export async function proxy(target, faults) {
  const [host, port] = target.split(":");
  const server = net.createServer((client) => {
    const upstream = net.connect({ host, port: Number(port) });
    client.pipe(upstream);
    upstream.on("data", (data) => {
      if (faults.cutReplies > 0) {
        faults.cutReplies -= 1;
        client.destroy();
        upstream.destroy();
      } else {
        client.write(data);
      }
    });
    upstream.on("close", () => client.end());
    client.on("error", () => upstream.destroy());
    upstream.on("error", () => client.destroy());
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return { url: `127.0.0.1:${server.address().port}`, close: () => server.close() };
}

/** Runs one visit of the SDK in a process of its own. */
export async function visit(serverUrl, mode, plugin = "") {
  const script = path.join(import.meta.dirname, "session.mjs");
  const child = spawn(process.execPath, [script, serverUrl, mode, plugin], { stdio: ["ignore", "ignore", "inherit"] });
  const [code] = await once(child, "exit");
  if (code !== 0) throw new Error(`the visit ended with ${code}`);
}
