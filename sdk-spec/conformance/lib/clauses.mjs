// Which MUSTs of spec.md nothing cites.

import fs from "node:fs";
import path from "node:path";
import { checks } from "./gateway.mjs";
import { scenarios } from "./scenario.mjs";

const CLAUSE = /^- \*\*((?:SDK|GW)-[A-Z]+-\d+)\*\* (MUST NOT|MUST|SHOULD|MAY): /gm;
const CITED = /\b(?:SDK|GW)-[A-Z]+-\d+\b/g;
const SKIPPED = new Set(["node_modules", "target", "dist", "results", ".git"]);
const READ = /\.(rs|ts|mjs|js|py|yaml|toml)$/;

export function clausesOf(spec) {
  const text = fs.readFileSync(path.join(spec, "spec.md"), "utf8");
  return [...text.matchAll(CLAUSE)].map(([, id, word]) => ({ id, word }));
}

export function citations(spec, places) {
  const cited = new Set();
  for (const one of [...scenarios(path.join(spec, "scenarios")), ...checks()]) for (const id of one.clauses) cited.add(id);
  for (const place of places) for (const id of citedIn(path.resolve(place))) cited.add(id);
  return cited;
}

function* citedIn(place) {
  if (fs.statSync(place).isDirectory()) {
    for (const name of fs.readdirSync(place)) if (!SKIPPED.has(name)) yield* citedIn(path.join(place, name));
  } else if (READ.test(place)) {
    yield* fs.readFileSync(place, "utf8").match(CITED) ?? [];
  }
}

// Whoever implements a contract says where: of its clauses, those that its own code does not cite.
export function implementedReport(spec, side, place) {
  const musts = clausesOf(spec).filter(({ id, word }) => word.startsWith("MUST") && id.startsWith(`${side}-`));
  const cited = new Set(citedIn(path.resolve(place)));
  const missing = musts.filter(({ id }) => !cited.has(id));
  for (const { id } of missing) console.log(`not implemented by anything in ${place} that cites it: ${id}`);
  console.log(`${musts.length - missing.length} passed, ${missing.length} failed`);
  return missing.length ? 1 : 0;
}

export function clausesReport(spec, places) {
  const all = clausesOf(spec);
  const known = new Set(all.map((clause) => clause.id));
  const cited = citations(spec, places);
  const unknown = [...cited].filter((id) => !known.has(id));
  const missing = all.filter((clause) => clause.word.startsWith("MUST") && !cited.has(clause.id));
  for (const { id } of missing) console.log(`uncited ${id}`);
  for (const id of unknown) console.log(`unknown ${id}: it is cited and spec.md does not have it`);
  const musts = all.filter((clause) => clause.word.startsWith("MUST")).length;
  console.log(`${musts - missing.length} passed, ${missing.length + unknown.length} failed`);
  return missing.length || unknown.length ? 1 : 0;
}
