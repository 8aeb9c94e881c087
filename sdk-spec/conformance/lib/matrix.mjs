// The table of results: rows are scenarios or checks, columns are subjects.
// Made of results alone; no times, so that the same results give the same text.

const MARK = { passed: "✓", failed: "✗", skipped: "–" };

export function matrix(runs) {
  const parts = ["# Results\n\nMade by `conformance matrix` from runs; not edited by hand. ✓ passed, ✗ failed, – not applicable.\n"];
  for (const [kind, title, row] of [["sdk", "SDKs by scenario", "scenario"], ["gateway", "Gateways", "check"]]) {
    const of = runs.filter((run) => run.kind === kind);
    if (of.length) parts.push(`## ${title}\n\n${table(of, row)}\n`);
  }
  return parts.join("\n");
}

function table(runs, row) {
  const names = [...new Set(runs.flatMap((run) => run.results.map((result) => result.scenario)))];
  const head = [row, ...runs.map((run) => run.subject), "clauses"];
  const lines = names.map((name) => {
    const found = runs.map((run) => run.results.find((result) => result.scenario === name));
    const clauses = found.find(Boolean).clauses.join(" ");
    return [name, ...found.map((result) => (result ? MARK[result.verdict] : " ")), clauses];
  });
  const totals = runs.map((run) => {
    const passed = run.results.filter((result) => result.verdict === "passed").length;
    return `${passed}/${run.results.filter((result) => result.verdict !== "skipped").length}`;
  });
  lines.push(["**passed**", ...totals, ""]);
  return [head, head.map(() => "---"), ...lines].map((cells) => `| ${cells.join(" | ")} |`).join("\n");
}
