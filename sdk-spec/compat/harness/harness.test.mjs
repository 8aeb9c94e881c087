// That a run fails where it has to: clients that count twice, that lose, and that
// are declared other than they are. Needs SLUICE_BIN.

import assert from "node:assert/strict";
import path from "node:path";
import test from "node:test";
import { runCell } from "./cell.mjs";
import { loses, resends } from "./driver.mjs";
import { alike, matrix } from "./matrix.mjs";

function naive(mode, declared) {
  const command = [process.execPath, path.join(import.meta.dirname, "naive.mjs"), mode];
  return { title: mode, command, cwd: import.meta.dirname, declared: { ok: resends(""), ...declared } };
}

test("an SDK that is well passes", async () => {
  const result = await runCell(naive("no-retry", {}), "ok");
  assert.deepEqual([result.failures, result.lost, result.duplicates], [[], 0, 0]);
});

test("new ids for each try are seen as events counted twice", async () => {
  const result = await runCell(naive("new-ids", { cutAfter: resends("tries at once") }), "cutAfter");
  // Both resets hit the first event: it is there three times.
  assert.equal(result.duplicates, 1);
  assert.ok(result.failures.includes("1 events are counted more than once"), result.failures.join());
});

test("a loss that nobody declared fails, one that is declared is said", async () => {
  const refused = await runCell(naive("no-retry", { cutBefore: resends("says who") }), "cutBefore");
  assert.deepEqual(refused.failures, ["declared: sends again; 2 events are lost"]);
  const subject = naive("no-retry", { cutBefore: loses("never tries again") });
  const declared = await runCell(subject, "cutBefore");
  assert.deepEqual([declared.failures, declared.lost], [[], 2]);
});

test("a declared loss that does not happen fails", async () => {
  const result = await runCell(naive("new-ids", { cutBefore: loses("says who") }), "cutBefore");
  assert.deepEqual(result.failures, ["declared: does not send again; 0 events are lost"]);
});

test("the gateway refuses for a while, and a client that does not wait loses", async () => {
  const result = await runCell(naive("no-retry", { unavailable: loses("never tries again") }), "unavailable");
  assert.deepEqual([result.failures, result.lost, result.struck], [[], 20, 20]);
});

test("the matrix names what is lost and by which rule", () => {
  const subject = {
    family: "one", registry: "npm", name: "sdk", version: "1.0.0", title: "t",
    declared: { ok: resends(""), unavailable: loses("any status ends it"), limited: loses("any status ends it") },
  };
  const fine = { sent: 20, lost: 0, again: 0, failures: [] };
  const faults = ["ok", "unavailable", "limited", "cutBefore", "cutAfter", "slow"];
  const results = faults.map((fault) => ({ ...fine, subject, fault, lost: fault === "limited" ? 20 : 0, again: fault === "slow" ? 3 : 0 }));
  const text = matrix([subject], results);
  assert.ok(text.includes("| npm `sdk` 1.0.0, t | all 20 | all 20 | **lost 20** | all 20 | all 20 | all 20, some sent twice |"), text);
  assert.ok(text.includes("- `sdk`, t. 503, 429: any status ends it."), text);
  assert.ok(alike(text, text.replace("lost 20", "lost 19")));
  assert.ok(!alike(text, text.replace("**lost 20**", "all 20")));
});
