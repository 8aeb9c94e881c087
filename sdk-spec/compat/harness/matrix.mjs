// The matrix as text. Made of results alone, without times, so that the same
// results give the same text.

import { FAULTS } from "./faults.mjs";

const HEAD = `# Fault matrix of real SDKs

Made by \`sdk-spec/compat/run\`; not edited by hand. Each package is the published one, pinned, unmodified. Each cell is a run of its own against a gateway of its own: the SDK reports {events} events, each with its own marker, and the gateway is asked how often it has each.

No event was counted twice in any cell. **lost** is what the SDK gives up on, by its own rules, which are below; a rule that is not seen to hold fails the run, and so does a loss that no rule declares.

| | how it is made |
|---|---|
| 503 | the gateway's log can take nothing; seconds later it comes up again, able to write |
| 429 | the app may send four requests a second, one at a time |
| reset before | two requests end in a reset before the gateway sees them |
| reset after | two requests end in a reset after the gateway has taken them, instead of its answer |
| slow reply | the answers to two requests come later than the SDK waits; three seconds late where it waits for ever |
`;

export function matrix(subjects, results) {
  const faults = Object.keys(FAULTS);
  const parts = [HEAD.replace("{events}", results[0]?.sent ?? "")];
  const head = ["SDK", ...faults.map((fault) => FAULTS[fault].title)];
  for (const family of [...new Set(subjects.map((subject) => subject.family))]) {
    const own = subjects.filter((subject) => subject.family === family);
    const rows = own.map((subject) => [label(subject), ...faults.map((fault) => cell(of(results, subject, fault)))]);
    parts.push(`## [${family}](${family}/README.md)\n\n${table([head, ...rows])}\n`, `${own.map(rules).join("\n")}\n`);
  }
  return parts.join("\n");
}

function of(results, subject, fault) {
  return results.find((result) => result.subject === subject && result.fault === fault);
}

function label({ registry, name, version, title }) {
  return `${registry} \`${name}\` ${version}, ${title}`;
}

function cell(result) {
  if (result.failures.length) return "**failed**";
  if (result.lost) return `**lost ${result.lost}**`;
  return result.again ? `all ${result.sent}, some sent twice` : `all ${result.sent}`;
}

/** Whether two matrices say the same but for how many events were lost, which the pace of a machine decides. */
export function alike(one, other) {
  const uncounted = (text) => text.replace(/lost \d+/g, "lost");
  return uncounted(one) === uncounted(other);
}

/** What one SDK does, by fault; faults with the same rule together. */
function rules(subject) {
  const by = new Map();
  for (const [fault, { why }] of Object.entries(subject.declared)) {
    if (why) by.set(why, [...(by.get(why) ?? []), FAULTS[fault].title]);
  }
  const texts = [...by].map(([why, titles]) => `${titles.length === 5 ? "always" : titles.join(", ")}: ${why}`);
  return `- \`${subject.name}\`, ${subject.title}. ${texts.join(". ")}.`;
}

function table([head, ...rows]) {
  return [head, head.map(() => "---"), ...rows].map((cells) => `| ${cells.join(" | ")} |`).join("\n");
}
