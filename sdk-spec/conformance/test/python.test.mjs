// write-your-own.md as pasted: its two files run against a gateway, and its SDK
// goes through the scenarios with the result that the page tells.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import test from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { runAll, save } from "../lib/cli.mjs";
import { Target } from "../lib/gateway.mjs";
import { startGateway, stopGateway } from "../lib/process.mjs";
import { scenarios } from "../lib/scenario.mjs";
import { eventually } from "../lib/util.mjs";

const HERE = path.dirname(fileURLToPath(import.meta.url));
const SPEC = path.join(HERE, "../..");
const PAGE = fs.readFileSync(path.join(SPEC, "write-your-own.md"), "utf8");
const LINES_MAX = 50;

/** The page's blocks by the file name in their first line. */
const blocks = Object.fromEntries([...PAGE.matchAll(/```python\n# (\w+\.py)\n(.*?)```/gs)].map(([, name, code]) => [name, code]));

test("the page is as short as it says", () => {
  const lines = blocks["sluice.py"].split("\n").filter((line) => line.trim());
  assert.ok(lines.length <= LINES_MAX, `${lines.length} lines`);
});

test("as pasted, it reports into a gateway", async () => {
  const dir = fs.mkdtempSync(path.join(os.tmpdir(), "sluice-page-"));
  for (const [name, code] of Object.entries(blocks)) fs.writeFileSync(path.join(dir, name), code);
  const gateway = await startGateway();
  try {
    const visit = () => promisify(execFile)("python3", ["visit.py"], {
      cwd: dir, env: { ...process.env, SLUICE_URL: gateway.url, SLUICE_KEY: "demo-write-key" }, timeout: 20_000,
    });
    await visit();
    await visit();
    const to = new Target({ url: gateway.url, writeKey: "demo-write-key", readToken: "demo-read-token", app: "demo" });
    const question = { metrics: ["event_count", "visit_pv", "visit_uv"] };
    const rows = await eventually(() => to.ask(question), ([row]) => row?.metrics[0] >= 6);
    assert.deepEqual(rows[0].metrics, [6, 2, 1]);
    assert.equal((await to.timeline("user-42"))[0].name, "order");
  } finally {
    await stopGateway(gateway);
    fs.rmSync(dir, { recursive: true, force: true });
  }
});

test("it goes through the scenarios as the page says", async () => {
  const told = PAGE.slice(PAGE.indexOf("It passes all scenarios")).match(/`[\w-]+`/g).map((name) => name.slice(1, -1));
  const all = scenarios(path.join(SPEC, "scenarios")).map((one) => {
    if (!told.includes(one.name)) return one;
    // What cannot come is not waited for.
    return { ...one, steps: one.steps.map((step) => (step.wait ? { wait: { within_ms: 6000, ...step.wait } } : step)) };
  });
  const results = await runAll(all, ["python3", path.join(HERE, "../adapters/python.py")], 10);
  save(path.join(HERE, "../results/python.json"), { kind: "sdk", subject: "python 50 lines", results });
  const failed = results.filter((result) => result.verdict === "failed");
  assert.deepEqual(failed.map((result) => result.scenario), told, JSON.stringify(failed, null, 1));
});
