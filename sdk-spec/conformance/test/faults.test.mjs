// The runner sees what is wrong: a small SDK passes as it should be, and each
// fault put into it makes the scenarios that are about it red.

import assert from "node:assert/strict";
import path from "node:path";
import test from "node:test";
import { fileURLToPath } from "node:url";
import { runAll } from "../lib/cli.mjs";
import { runGateway } from "../lib/gateway.mjs";
import { Mock } from "../lib/mock.mjs";
import { scenarios } from "../lib/scenario.mjs";

const HERE = path.dirname(fileURLToPath(import.meta.url));
const ALL = scenarios(path.join(HERE, "../../scenarios"));

/** The fault, the scenarios it makes red, and the clauses that these name. */
const FAULTS = [
  ["new-ids-on-retry", ["reset-after", "unavailable-503"], "SDK-ID-3"],
  ["drops-on-503", ["unavailable-503"], "SDK-RETRY-3"],
  ["ignores-retry-after", ["overload-429", "retry-after-body"], "SDK-RETRY-4"],
  ["hammers", ["outage"], "SDK-RETRY-5"],
  ["forgets-retry", ["partial"], "SDK-RETRY-2"],
  ["resends-rejected", ["poison"], "SDK-RETRY-1"],
  ["ignores-413", ["too-large-413"], "SDK-RETRY-6"],
  ["trusts-any-200", ["captive-portal"], "SDK-RETRY-9"],
  ["two-at-once", ["slow-reply"], "SDK-BATCH-2"],
  ["no-time-out", ["slow"], "SDK-RETRY-8"],
  ["memory-only", ["kill-restart", "kill-after-hide"], "SDK-PERSIST-"],
  ["never-tells", ["refused-400"], "SDK-QUEUE-3"],
  ["stale-sent-at", ["long-wait"], "SDK-TIME-2"],
  ["ignores-opt-out", ["opt-out"], "SDK-PRIVACY-1"],
  ["same-device", ["opt-in-again"], "SDK-PRIVACY-2"],
  ["ignores-config", ["disabled", "small-batches"], "SDK-"],
  ["sends-anything", ["event-too-large"], "SDK-EVENT-"],
];

const run = (fault, names) => {
  // What has to fail need not wait as long as what may still pass.
  const short = fault === "none" ? {} : { within_ms: 8000 };
  const chosen = ALL.filter((one) => names.includes(one.name)).map((one) => ({
    ...one, steps: one.steps.map((step) => (step.wait ? { wait: { ...step.wait, ...short } } : step)),
  }));
  return runAll(chosen, [process.execPath, path.join(HERE, "naive-sdk.mjs"), fault], 32);
};

test("without a fault every one of these scenarios is green", async () => {
  const names = [...new Set(FAULTS.flatMap(([, red]) => red))];
  const results = await run("none", names);
  assert.equal(results.length, names.length);
  for (const { scenario, verdict, violations } of results) assert.equal(verdict, "passed", `${scenario}: ${JSON.stringify(violations)}`);
});

test("each fault is seen", { concurrency: 6 }, async (t) => {
  await Promise.all(FAULTS.map(([fault, red, clause]) =>
    t.test(fault, async () => {
      for (const { scenario, verdict, violations } of await run(fault, red)) {
        assert.equal(verdict, "failed", `${scenario} did not see it`);
        const named = violations.map((violation) => violation.clause);
        assert.ok(named.some((one) => one.startsWith(clause)), `${scenario} names ${named}, not ${clause}`);
      }
    })));
});

test("a gateway that accepts everything and answers nothing else is seen", async () => {
  const mock = new Mock();
  await mock.start();
  try {
    const only = ["fates", "reasons", "encodings", "no-batch", "limits", "keys", "cors", "validate", "request-id", "server-key"];
    const results = await runGateway({ url: mock.url, writeKey: "k", readToken: "r", app: "demo", only });
    for (const { scenario, verdict } of results) {
      assert.equal(verdict, scenario === "server-key" ? "skipped" : "failed", `${scenario} did not see it`);
    }
  } finally {
    mock.stop();
  }
});
