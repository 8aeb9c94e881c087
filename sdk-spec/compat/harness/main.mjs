// The command line: fetches the packages, runs the cells, writes the matrix.

import fs from "node:fs";
import path from "node:path";
import { parseArgs } from "node:util";

const MATRIX = path.resolve(import.meta.dirname, "../MATRIX.md");
const USAGE = `usage: SLUICE_BIN=target/debug/sluice sdk-spec/compat/run [options]

Runs published SDKs, unmodified, against a gateway that fails, and writes
sdk-spec/compat/MATRIX.md. Needs node 20.11 or newer, npm, and python3 with venv.
Ends with 1 when an event is counted twice, or when an SDK loses or resends
other than its packages.mjs declares.

  --only FAMILY    only this family (may be repeated); MATRIX.md stays as it is
  --fault NAME     only this fault (may be repeated); MATRIX.md stays as it is
  --jobs N         cells at the same time, 1 to 16 [4]
  --json FILE      every cell with its counts, as JSON
  --check          fail, too, when MATRIX.md is not what the run gives, but for how
                   many were lost; nothing is written
  --help`;

async function main(args) {
  const options = {
    only: { type: "string", multiple: true }, fault: { type: "string", multiple: true }, jobs: { type: "string", default: "4" },
    json: { type: "string" }, check: { type: "boolean" }, help: { type: "boolean" },
  };
  const { values } = parseArgs({ args, options });
  if (values.help) return void console.log(USAGE);
  if (!process.env.SLUICE_BIN) throw new Error("SLUICE_BIN must name the sluice binary, e.g. target/debug/sluice");
  process.env.SLUICE_BIN = fs.realpathSync(process.env.SLUICE_BIN);
  // Gateways that refuse have much to say, all of it wanted here.
  process.env.SLUICE_TELEMETRY__FILTER ??= "error";
  // Loaded only now: they read SLUICE_BIN.
  const { families, fetchFamily } = await import("./fetch.mjs");
  const { FAULTS } = await import("./faults.mjs");
  const jobs = Number(values.jobs);
  if (!(jobs >= 1 && jobs <= 16)) throw new Error(`--jobs ${values.jobs}: allowed is 1 to 16`);
  const wanted = chosen("--only", values.only, families());
  const faults = chosen("--fault", values.fault, Object.keys(FAULTS));

  const subjects = (await Promise.all(wanted.map(fetchFamily))).flat();
  const results = await runAll(subjects, faults, jobs);
  if (values.json) fs.writeFileSync(values.json, `${JSON.stringify(results.map(plain), null, 1)}\n`);
  return await conclude(subjects, results, { ...values, whole: !values.only && !values.fault });
}

function chosen(option, names, all) {
  const unknown = names?.find((name) => !all.includes(name));
  if (unknown) throw new Error(`${option} ${unknown}: there is ${all.join(", ")}`);
  return names ?? all;
}

async function runAll(subjects, faults, jobs) {
  const { runCell } = await import("./cell.mjs");
  const cells = subjects.flatMap((subject) => faults.map((fault) => ({ subject, fault })));
  const results = [];
  let next = 0;
  const worker = async () => {
    while (next < cells.length) {
      const at = next;
      next += 1;
      const { subject, fault } = cells[at];
      results[at] = { subject, ...(await runCell(subject, fault)) };
      say(results[at]);
    }
  };
  await Promise.all(Array.from({ length: jobs }, worker));
  return results;
}

function say({ subject, fault, lost, again, ms, failures }) {
  const verdict = failures.length ? "failed" : "passed";
  console.log(`${verdict} ${subject.family} ${subject.name}, ${subject.title}: ${fault}: lost ${lost}, again ${again} (${ms} ms)`);
  for (const failure of failures) console.log(`       ${failure}`);
}

async function conclude(subjects, results, { check, whole }) {
  const { alike, matrix } = await import("./matrix.mjs");
  const failed = results.filter((result) => result.failures.length).length;
  console.log(`${results.length - failed} cells passed, ${failed} failed`);
  if (failed) return 1;
  if (!whole) return 0;
  const text = matrix(subjects, results);
  if (!check) return void fs.writeFileSync(MATRIX, text);
  if (fs.existsSync(MATRIX) && alike(fs.readFileSync(MATRIX, "utf8"), text)) return 0;
  console.log(`${path.relative(process.cwd(), MATRIX)} is not what this run gives:\n\n${text}`);
  return 1;
}

/** For the JSON: the package by name, not by its whole declaration. */
function plain({ subject: { family, registry, name, version, title }, ...result }) {
  return { family, registry, name, version, title, ...result };
}

// So that a run that is broken off tidies up as one that ends.
for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, () => process.exit(130));
try {
  process.exitCode = (await main(process.argv.slice(2))) ?? 0;
} catch (error) {
  console.error(`run: ${error.message}`);
  process.exitCode = 64;
}
