// A gateway of one's own for a test: started on free ports, stopped by pid.

import { spawn } from "node:child_process";
import { once } from "node:events";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { sleep } from "./util.mjs";

/** The binary under test, named by SLUICE_BIN. */
export function binary() {
  const bin = process.env.SLUICE_BIN;
  if (!bin) throw new Error("SLUICE_BIN must name the sluice binary, e.g. target/debug/sluice");
  return bin;
}

/**
 * Starts a gateway. `config` is the text of a TOML config; without one the app
 * `demo` stands in. `dir` reuses a data directory. Resolves once it listens.
 */
export async function startGateway({ config, dir, env = {}, port = 0 } = {}) {
  const own = dir ?? fs.mkdtempSync(path.join(os.tmpdir(), "sluice-conformance-"));
  const args = ["serve", "--listen", `127.0.0.1:${port}`, "--admin-listen", "127.0.0.1:0"];
  args.push("--data-dir", path.join(own, "data"));
  if (config) {
    const file = path.join(own, "sluice.toml");
    fs.writeFileSync(file, config);
    args.push("--config", file);
  }
  const child = spawn(binary(), args, { env: { ...process.env, ...env }, stdio: ["ignore", "pipe", "pipe"] });
  let said = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream.on("data", (data) => { said = (said + data).slice(-4000); });
  }
  const file = path.join(own, "data", "addresses.json");
  for (let tries = 0; tries < 300; tries += 1) {
    if (child.exitCode !== null) throw new Error(`sluice ended with ${child.exitCode}: ${said}`);
    const found = readAddresses(file);
    if (found?.pid === child.pid) return { child, dir: own, url: `http://${found.http}`, ...found };
    await sleep(50);
  }
  child.kill("SIGKILL");
  throw new Error(`sluice was not up within 15 s: ${said}`);
}

function readAddresses(file) {
  try {
    return JSON.parse(fs.readFileSync(file, "utf8"));
  } catch {
    return undefined; // not there yet, or half written
  }
}

/** Stops it; `signal` SIGKILL for a crash. `keep` leaves its data. */
export async function stopGateway(gateway, { signal = "SIGTERM", keep = false } = {}) {
  if (gateway.child.exitCode === null && gateway.child.signalCode === null) {
    const ended = once(gateway.child, "exit");
    gateway.child.kill(signal);
    await ended;
  }
  if (!keep) fs.rmSync(gateway.dir, { recursive: true, force: true });
}
