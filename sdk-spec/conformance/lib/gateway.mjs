// The black box: tests any gateway by its URL, as a client and as someone who
// asks. Every run uses names and ids of its own, so that it can run against a
// gateway in use.

import assert from "node:assert/strict";
import { CHECKS } from "./gateway-checks.mjs";
import { eventually, unique } from "./util.mjs";

/** The checks, for the matrix and the list of clauses. */
export function checks() {
  return CHECKS;
}

/** `only`: names of checks; all where left out. */
export async function runGateway({ only, ...target }) {
  const results = [];
  for (const { name, title, clauses, needs = [], run } of CHECKS) {
    if (only && !only.includes(name)) continue;
    const missing = needs.filter((need) => !target[need]);
    const started = Date.now();
    const result = { scenario: name, title, clauses };
    results.push(result);
    if (missing.length) {
      Object.assign(result, { verdict: "skipped", missing });
      continue;
    }
    try {
      await run(new Target(target));
      Object.assign(result, { verdict: "passed", ms: Date.now() - started });
    } catch (error) {
      const violations = [{ clause: clauses[0], detail: error.message.split("\n").slice(0, 6).join(" ") }];
      Object.assign(result, { verdict: "failed", violations, ms: Date.now() - started });
    }
  }
  return results;
}

export class Target {
  constructor({ url, writeKey, readToken, serverKey, app }) {
    Object.assign(this, { url, writeKey, readToken, serverKey, app });
    this.run = unique();
    this.made = 0;
  }

  /** An event of this run; `name` is the run's own, so that it can be counted. */
  event(more = {}) {
    this.made += 1;
    return { id: `${this.run}-${this.made}`, name: `conf_${this.run}`, time: Date.now(), device_id: `d-${this.run}`, ...more };
  }

  /** `POST /v1/events` (or `path`); status, headers, body. */
  async post(body, { path = "/v1/events", headers = {}, key = this.writeKey } = {}) {
    const raw = typeof body === "string" || Buffer.isBuffer(body) ? body : JSON.stringify(body);
    const auth = key ? { authorization: `Bearer ${key}` } : {};
    const answer = await fetch(this.url + path, { method: "POST", body: raw, headers: { ...auth, "content-type": "application/json", ...headers } });
    const text = await answer.text();
    let parsed = text;
    try {
      parsed = JSON.parse(text);
    } catch {
      // the checks say what they expect
    }
    return { status: answer.status, headers: answer.headers, body: parsed };
  }

  validate(events, options = {}) {
    return this.post({ events }, { path: "/v1/debug/validate", ...options });
  }

  async ask(question) {
    const answer = await fetch(`${this.url}/v1/apps/${this.app}/query`, {
      method: "POST", headers: { authorization: `Bearer ${this.readToken}` },
      body: JSON.stringify({ date_range: { last: "7d" }, ...question }),
    });
    const body = await answer.json();
    assert.equal(answer.status, 200, JSON.stringify(body));
    return body.results;
  }

  /** How many events of this name there are. */
  async count(name = `conf_${this.run}`) {
    const rows = await this.ask({ metrics: ["event_count"], filters: [["is", "name", [name]]] });
    return rows[0]?.metrics[0] ?? 0;
  }

  /** Waits until there are so many, and then looks once more that there are no more. */
  async counted(wanted, name) {
    const found = await eventually(() => this.count(name), (count) => count >= wanted, 10_000);
    assert.equal(found, wanted, `${found} events are counted, ${wanted} were accepted`);
  }

  /** Events of one user, newest first. */
  async timeline(user) {
    const url = `${this.url}/v1/apps/${this.app}/users/${encodeURIComponent(user)}/events?limit=100`;
    const answer = await fetch(url, { headers: { authorization: `Bearer ${this.readToken}` } });
    return answer.status === 200 ? (await answer.json()).events : [];
  }
}

/** A refusal as the contract words it. */
export function refused(answer, status, reason) {
  assert.equal(answer.status, status, JSON.stringify(answer.body));
  assert.equal(answer.body?.error?.reason, reason, JSON.stringify(answer.body));
  assert.ok(answer.body.error.detail, "detail is missing");
  const passing = [408, 429, 503].includes(status);
  assert.equal(answer.headers.has("retry-after"), passing, `Retry-After with ${status}`);
  assert.equal(Number.isInteger(answer.body.retry_after_ms), passing, `retry_after_ms with ${status}`);
}

/** A receipt whose counts balance and whose list agrees with them. */
export function balanced(answer, sent) {
  assert.equal(answer.status, 200, JSON.stringify(answer.body));
  const { accepted, duplicates, rejected, retry, results } = answer.body;
  assert.equal(accepted + duplicates + rejected + retry, sent, "the counts do not add up to the events sent");
  assert.equal(results.length, duplicates + rejected + retry, "results lists what was not accepted");
  const indexes = results.map((result) => result.index);
  assert.deepEqual(indexes, [...indexes].sort((a, b) => a - b), "results ascend by index");
  for (const [outcome, count] of Object.entries({ duplicate: duplicates, rejected, retry })) {
    assert.equal(results.filter((result) => result.outcome === outcome).length, count, `${outcome} in results`);
  }
  return answer.body;
}
