// The command line.

import fs from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { clausesReport, implementedReport } from "./clauses.mjs";
import { runGateway } from "./gateway.mjs";
import { matrix } from "./matrix.mjs";
import { runScenario, scenarios } from "./scenario.mjs";

const SPEC = path.join(path.dirname(fileURLToPath(import.meta.url)), "../..");

const USAGE = `usage:
  conformance run --adapter "COMMAND…" [--scenario NAME,…] [--scenarios DIR] [--jobs N] [--out FILE]
      runs an SDK, behind an adapter, through every scenario
  conformance gateway --url URL --write-key KEY --read-token TOKEN [--server-key KEY] [--app ID] [--check NAME,…] [--name COLUMN] [--out FILE]
      tests a running gateway from the outside
  conformance matrix RESULT… [--out FILE | --check FILE]
      makes the table of results; --check fails when FILE is not what the results give
  conformance clauses [--cited-in PATH]…
      lists the MUSTs of spec.md that neither scenarios, gateway checks nor PATHs cite
  conformance clauses --gateway PATH
      lists the MUSTs for gateways that the gateway's code at PATH does not cite`;

export async function main(args) {
  const [command, ...rest] = args;
  const commands = { run, gateway, matrix: table, clauses };
  if (!commands[command]) {
    console.error(USAGE);
    return 64;
  }
  try {
    return await commands[command](rest);
  } catch (error) {
    console.error(`conformance ${command}: ${error.message}`);
    return 64;
  }
}

async function run(args) {
  const { values } = parseArgs({ args, options: {
    adapter: { type: "string" }, scenario: { type: "string" }, scenarios: { type: "string" }, jobs: { type: "string" }, out: { type: "string" },
  } });
  if (!values.adapter) throw new Error("--adapter is required: the command that starts the SDK's adapter");
  const wanted = values.scenario?.split(",");
  const all = scenarios(values.scenarios ?? path.join(SPEC, "scenarios")).filter((one) => !wanted || wanted.includes(one.name));
  if (!all.length) throw new Error(`no scenario is called ${values.scenario}`);
  const adapter = values.adapter.split(/\s+/);
  const results = await runAll(all, adapter, Number(values.jobs ?? 12));
  results.forEach(report);
  save(values.out, { kind: "sdk", subject: await subject(adapter), results });
  return summary(results);
}

/** Runs scenarios side by side: they mostly wait. */
export async function runAll(all, adapter, jobs) {
  const results = [];
  let next = 0;
  const worker = async () => {
    while (next < all.length) {
      const at = next;
      next += 1;
      results[at] = { title: all[at].title, clauses: all[at].clauses, ...(await runScenario(all[at], adapter)) };
    }
  };
  await Promise.all(Array.from({ length: Math.min(jobs, all.length) }, worker));
  return results;
}

async function subject(command) {
  const { Adapter } = await import("./adapter.mjs");
  const adapter = new Adapter(command);
  await adapter.start();
  await adapter.kill();
  return adapter.about.name;
}

function report({ scenario, verdict, violations = [], missing = [], ms }) {
  const note = verdict === "skipped" ? ` (the adapter lacks ${missing.join(", ")})` : ` (${ms} ms)`;
  console.log(`${verdict.padEnd(7)} ${scenario}${note}`);
  for (const { clause, detail } of violations) console.log(`        ${clause}: ${detail}`);
}

async function gateway(args) {
  const { values } = parseArgs({ args, options: {
    url: { type: "string" }, "write-key": { type: "string" }, "read-token": { type: "string" },
    "server-key": { type: "string" }, app: { type: "string", default: "demo" }, out: { type: "string" }, name: { type: "string" }, check: { type: "string" },
  } });
  for (const name of ["url", "write-key", "read-token"]) if (!values[name]) throw new Error(`--${name} is required`);
  const results = await runGateway({
    url: values.url.replace(/\/+$/, ""), writeKey: values["write-key"], readToken: values["read-token"],
    serverKey: values["server-key"], app: values.app, only: values.check?.split(","),
  });
  results.forEach(report);
  save(values.out, { kind: "gateway", subject: values.name ?? "gateway", results });
  return summary(results);
}

async function table(args) {
  const { values, positionals } = parseArgs({ args, allowPositionals: true, options: { out: { type: "string" }, check: { type: "string" } } });
  if (!positionals.length) throw new Error("name the files that `run --out` and `gateway --out` wrote");
  const text = matrix(positionals.sort().map((file) => JSON.parse(fs.readFileSync(file, "utf8"))));
  if (values.out) fs.writeFileSync(values.out, text);
  else if (!values.check) console.log(text);
  if (values.check && fs.readFileSync(values.check, "utf8") !== text) {
    console.error(`${values.check} is not what these results give; make it anew with --out ${values.check}`);
    return 1;
  }
  return 0;
}

async function clauses(args) {
  const { values } = parseArgs({ args, options: {
    "cited-in": { type: "string", multiple: true, default: [] },
    gateway: { type: "string" },
  } });
  if (values.gateway) return implementedReport(SPEC, "GW", values.gateway);
  return clausesReport(SPEC, values["cited-in"]);
}

/** Writes a run for `matrix`. */
export function save(file, value) {
  if (!file) return;
  fs.mkdirSync(path.dirname(path.resolve(file)), { recursive: true });
  fs.writeFileSync(file, `${JSON.stringify(value, null, 1)}\n`);
}

function summary(results) {
  const count = (verdict) => results.filter((one) => one.verdict === verdict).length;
  console.log(`${count("passed")} passed, ${count("failed")} failed, ${count("skipped")} skipped`);
  return count("failed") ? 1 : 0;
}
