// The adapter's end of the protocol, for SDKs in JavaScript: a table of
// commands, each called with the fields of its line.

import readline from "node:readline";

export function serveAdapter(commands) {
  const lines = readline.createInterface({ input: process.stdin });
  lines.on("line", async (line) => {
    const { id, cmd, ...fields } = JSON.parse(line);
    let answer;
    try {
      if (!commands[cmd]) throw new Error("unsupported");
      answer = { id, ok: true, ...(await commands[cmd](fields)) };
    } catch (error) {
      answer = { id, ok: false, error: String(error?.message ?? error) };
    }
    process.stdout.write(`${JSON.stringify(answer)}\n`);
  });
  lines.on("close", () => process.exit(0)); // the runner is gone
}
