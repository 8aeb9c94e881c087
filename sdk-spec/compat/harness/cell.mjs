// One cell of the matrix: one SDK, one fault, a gateway of its own.

import { spawn } from "node:child_process";
import fs from "node:fs";
import { dataDir, stop } from "../sensors/gateway.mjs";
import { FAULTS } from "./faults.mjs";
import { counted, metric, verdict } from "./oracle.mjs";
import { startProxy } from "./proxy.mjs";

export const EVENTS = 20;
const DRIVER_MS_MAX = 30_000;
const SAID_BYTES_MAX = 4000;

// However this process ends, what it has started ends with it.
const live = new Set();
process.on("exit", () => live.forEach((cell) => {
  cell.gateway?.child.kill("SIGKILL");
  cell.driver?.kill("SIGKILL");
  fs.rmSync(cell.dir, { recursive: true, force: true });
}));

/** Without the fault a cell says nothing: a slow machine may send so slowly that no rate is exceeded. */
const TRIES_MAX = 3;

/** Runs it; `failures` says what was not as it has to be, or as `subject.declared` has it. */
export async function runCell(subject, fault) {
  let result;
  for (let tries = 0; tries < TRIES_MAX; tries += 1) {
    result = await runOnce(subject, fault);
    if (result.struck !== 0) break;
  }
  return result;
}

async function runOnce(subject, fault) {
  const { prepare, during, happened } = FAULTS[fault];
  const cell = { subject, dir: dataDir(), over: false };
  const begun = Date.now();
  live.add(cell);
  try {
    const { gateway, faults, timeoutMs } = await prepare(cell);
    cell.gateway = gateway;
    cell.proxy = await startProxy(gateway.http, { ...faults, path: subject.path });
    const beside = during?.(cell);
    // Without a listener until awaited, its failure would end the process.
    beside?.catch(() => {});
    const driver = await drive(cell, { address: cell.proxy.address, events: EVENTS, timeoutMs, dir: cell.dir });
    cell.over = true;
    await beside;
    const found = await counted(cell.gateway, subject.property ?? "marker");
    const { lost, duplicates, strange } = verdict(markers(), found);
    const result = {
      package: subject.title, fault, sent: EVENTS, lost: lost.length, duplicates: duplicates.length,
      again: await metric(cell.gateway, "append_events_total", { fate: "duplicate" }),
      struck: await happened(cell), requests: cell.proxy.seen, ms: Date.now() - begun, said: driver.said,
    };
    result.failures = [...failures(result, subject.declared[fault], strange), ...driver.failures];
    return result;
  } catch (error) {
    return { package: subject.title, fault, failures: [error.message], ms: Date.now() - begun };
  } finally {
    cell.over = true;
    cell.proxy?.close();
    if (cell.gateway) await stop(cell.gateway);
    fs.rmSync(cell.dir, { recursive: true, force: true });
    live.delete(cell);
  }
}

/** Values of the property `marker`, one an event; drivers make the same. */
function markers() {
  return Array.from({ length: EVENTS }, (_, n) => `m-${n}`);
}

function failures({ lost, duplicates, again, struck, fault }, declared, strange) {
  const found = [];
  const check = (right, text) => right || found.push(text);
  check(struck > 0, "the fault did not happen");
  check(duplicates === 0, `${duplicates} events are counted more than once`);
  check(strange.length === 0, `events that nobody sent: ${strange.join(" ")}`);
  const resends = declared.resends;
  if (fault === "cutAfter" || fault === "slow") {
    // The gateway took them: that a client does not send again loses nothing.
    check(lost === 0, `${lost} events are lost that the gateway has answered`);
    check(resends === again > 0, `declared: ${say(resends)}; the gateway saw ${again} events again`);
  } else {
    check(resends === (lost === 0), `declared: ${say(resends)}; ${lost} events are lost`);
  }
  return found;
}

function say(resends) {
  return resends ? "sends again" : "does not send again";
}

/** Runs the SDK in a process of its own, and ends it when it does not end. */
async function drive(cell, settings) {
  const { command: [program, ...args], cwd } = cell.subject;
  const child = spawn(program, [...args, JSON.stringify(settings)], { cwd, stdio: ["ignore", "pipe", "pipe"] });
  cell.driver = child;
  let said = "";
  let complaints = "";
  child.stdout.on("data", (data) => { said = (said + data).slice(-SAID_BYTES_MAX); });
  child.stderr.on("data", (data) => { complaints = (complaints + data).slice(-SAID_BYTES_MAX); });
  const failures = [];
  const timer = setTimeout(() => {
    failures.push(`the driver did not end within ${DRIVER_MS_MAX / 1000} s`);
    child.kill("SIGKILL");
  }, DRIVER_MS_MAX);
  const code = await new Promise((resolve, reject) => child.on("error", reject).on("close", resolve));
  clearTimeout(timer);
  if (code !== 0 && !failures.length) failures.push(`the driver ended with ${code}: ${complaints.slice(-600)}`);
  return { said: parse(said), failures };
}

/** What the driver prints is one line of JSON, the last one. */
function parse(text) {
  try {
    return JSON.parse(text.trim().split("\n").at(-1));
  } catch {
    return undefined;
  }
}
