// The other end of the adapter protocol: starts an adapter, hands it commands,
// one line of JSON each, and waits for the answer to each.

import { spawn } from "node:child_process";
import { once } from "node:events";
import readline from "node:readline";

const ANSWER_MS = 60_000;

export class Adapter {
  constructor(command) {
    this.command = command;
    this.next = 1;
    this.waiting = new Map();
  }

  async start() {
    const [program, ...args] = this.command;
    this.child = spawn(program, args, { stdio: ["pipe", "pipe", "pipe"] });
    this.said = "";
    this.child.stderr.on("data", (data) => { this.said = (this.said + data).slice(-2000); });
    this.child.stdin.on("error", () => {}); // it is gone; `exit` tells
    this.child.on("error", (error) => this.fail(error));
    this.child.on("exit", (code, signal) => this.fail(new Error(`the adapter ended (${code ?? signal}): ${this.said}`)));
    readline.createInterface({ input: this.child.stdout }).on("line", (line) => this.read(line));
    this.about = await this.tell("hello");
  }

  read(line) {
    let answer;
    try {
      answer = JSON.parse(line);
    } catch {
      this.said += `\nnot JSON on stdout: ${line}`;
      return;
    }
    const waiting = this.waiting.get(answer.id);
    this.waiting.delete(answer.id);
    waiting?.(answer);
  }

  fail(error) {
    this.gone = error;
    for (const settle of this.waiting.values()) settle({ ok: false, error: error.message });
    this.waiting.clear();
  }

  /** Hands over a command; its answer. Throws where it failed. */
  async tell(cmd, fields = {}) {
    if (this.gone) throw this.gone;
    const id = this.next;
    this.next += 1;
    const answered = new Promise((resolve) => { this.waiting.set(id, resolve); });
    this.child.stdin.write(`${JSON.stringify({ id, cmd, ...fields })}\n`);
    const timer = setTimeout(() => {
      this.waiting.get(id)?.({ ok: false, error: `no answer to ${cmd} within ${ANSWER_MS} ms` });
      this.waiting.delete(id);
    }, ANSWER_MS);
    const answer = await answered;
    clearTimeout(timer);
    if (!answer.ok) throw new Error(`${cmd}: ${answer.error}`);
    return answer;
  }

  /** Ends it at once, as a host does. */
  async kill() {
    if (!this.child || this.child.exitCode !== null || this.child.signalCode !== null) return;
    const ended = once(this.child, "exit");
    this.child.kill("SIGKILL");
    await ended;
  }
}
