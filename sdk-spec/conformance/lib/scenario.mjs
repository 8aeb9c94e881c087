// Runs one scenario: a mock gateway, an adapter, steps, and the verdict.

import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { parse } from "yaml";
import { Adapter } from "./adapter.mjs";
import { Mock } from "./mock.mjs";
import { judge } from "./rules.mjs";
import { sleep } from "./util.mjs";

const KEY = "conformance-key";
const WITHIN_MS = 60_000;

/** All scenarios of a folder, by name. */
export function scenarios(folder) {
  const names = fs.readdirSync(folder).filter((name) => name.endsWith(".yaml")).sort();
  return names.map((name) => {
    const scenario = parse(fs.readFileSync(path.join(folder, name), "utf8"));
    return { name: name.replace(/\.yaml$/, ""), ...scenario };
  });
}

/** What came of it: `passed`, `failed` with violations, or `skipped` with what is missing. */
export async function runScenario(scenario, command) {
  const run = new Run(scenario, command);
  const started = Date.now();
  try {
    return { scenario: scenario.name, ...(await run.all()), ms: Date.now() - started };
  } catch (error) {
    const violations = [{ clause: scenario.clauses[0], detail: `the adapter: ${error.message}` }];
    return { scenario: scenario.name, verdict: "failed", violations, ms: Date.now() - started };
  } finally {
    await run.end();
  }
}

class Run {
  constructor(scenario, command) {
    this.scenario = scenario;
    this.command = command;
    this.mock = new Mock(scenario.gateway ?? {});
    this.dir = fs.mkdtempSync(path.join(os.tmpdir(), "sluice-scenario-"));
    this.kills = [];
    this.offsets = [{ at: -Infinity, ms: 0 }];
    this.marks = {};
    this.tracked = []; // {n, name, phase}
    this.violations = [];
    this.options = {};
  }

  async all() {
    await this.mock.start();
    await this.spawn();
    const missing = (this.scenario.needs ?? []).filter((need) => !this.adapter.about.capabilities.includes(need));
    if (missing.length) return { verdict: "skipped", missing };
    for (const step of this.scenario.steps) {
      const [[name, value]] = Object.entries(step);
      try {
        await this.step(name, value);
      } catch (error) {
        this.violations.push([this.scenario.clauses[0], `step ${name}: ${error.message}`]);
        break;
      }
    }
    this.expect(this.scenario.expect ?? {});
    const { posts } = this.mock;
    const judged = judge({ posts, kills: this.kills, offsetsAt: (at) => this.offsetsAt(at), key: KEY });
    const violations = [...this.violations, ...judged].map(([clause, detail]) => ({ clause, detail })).slice(0, 20);
    return { verdict: violations.length ? "failed" : "passed", violations, requests: posts.length };
  }

  async end() {
    await this.adapter?.kill();
    this.mock.stop();
    fs.rmSync(this.dir, { recursive: true, force: true });
  }

  async spawn() {
    this.adapter = new Adapter(this.command);
    await this.adapter.start();
  }

  async step(name, value) {
    switch (name) {
      case "init":
        this.options = value ?? {};
        return this.init();
      case "track":
        return this.track(value);
      case "kill":
        this.kills.push(performance.now());
        return this.adapter.kill();
      case "restart":
        await this.spawn();
        return this.init();
      case "sleep":
        return sleep(value);
      case "gateway":
        if (value.offline !== undefined) this.mock.setOffline(value.offline);
        if (value.rules) this.mock.setRules(value.rules);
        if (value.config) this.mock.config = { ...this.mock.config, ...value.config };
        if (value.config_status) this.mock.configStatus = value.config_status;
        return undefined;
      case "mark":
        this.marks[value] = { posts: this.mock.posts.length, others: this.mock.others.length };
        return undefined;
      case "clock":
        await this.adapter.tell("clock", value);
        this.offsets.push({ at: performance.now(), ms: value.offset_ms });
        return undefined;
      case "wait":
        return this.wait(value);
      default:
        return this.adapter.tell(name, value ?? {});
    }
  }

  /** The clock in force at a time, and those set about then: the step and the request may cross. */
  offsetsAt(at) {
    const [now, ...before] = this.offsets.filter((offset) => offset.at <= at + 2000).reverse();
    const crossing = before.filter((_, i) => [now, ...before][i].at > at - 2000);
    return [now, ...crossing].map((offset) => offset.ms);
  }

  init() {
    const { url } = this.mock;
    return this.adapter.tell("init", { url, key: KEY, dir: this.dir, options: this.options });
  }

  async track({ name, count = 1, properties = {}, pad = 0, every_ms = 0, ignored = false }) {
    for (let i = 0; i < count; i += 1) {
      const n = this.tracked.length + 1;
      this.tracked.push({ n, name, ignored });
      const more = pad ? { pad: Array.from({ length: Math.ceil(pad / 8000) }, () => "x".repeat(Math.min(8000, pad))) } : {};
      await this.adapter.tell("track", { name, properties: { n, ...more, ...properties } });
      if (every_ms) await sleep(every_ms);
    }
  }

  async wait({ delivered, requests, configs, since, within_ms = WITHIN_MS }) {
    const from = since ? this.marks[since].posts : 0;
    const done = () => {
      const { posts, others } = this.mock;
      if (requests !== undefined) return posts.length - from >= requests;
      if (configs !== undefined) return others.filter((one) => one.path === "/v1/config").length >= configs;
      const wanted = delivered === "all" ? this.tracked.filter((one) => !one.ignored) : this.tracked.filter((one) => [delivered].flat().includes(one.name));
      const there = this.delivered();
      return wanted.every((one) => there.has(one.n));
    };
    const end = Date.now() + within_ms;
    while (!done()) {
      if (Date.now() > end) {
        const what = JSON.stringify({ delivered, requests, configs });
        throw new Error(`not within ${within_ms} ms: ${what}; ${this.delivered().size} of ${this.tracked.length} events after ${this.mock.posts.length} requests`);
      }
      await sleep(20);
    }
    await sleep(50); // the reply is on its way
  }

  /** Marks of the events that the mock took. */
  delivered() {
    const marks = new Set();
    for (const post of this.mock.posts) {
      for (const event of post.batch?.events ?? []) {
        if (this.mock.taken.has(event.id) && event.properties?.n !== undefined) marks.add(event.properties.n);
      }
    }
    return marks;
  }

  expect(wanted) {
    const no = (clause, detail) => this.violations.push([clause, detail]);
    const [main] = this.scenario.clauses;
    const { posts, others } = this.mock;
    const there = this.delivered();
    const named = (name) => posts.flatMap((post) => post.batch?.events ?? []).filter((event) => event.name === name);
    for (const name of [wanted.not_sent ?? []].flat()) {
      if (named(name).length) no(main, `${name} was sent`);
    }
    for (const [name, times] of Object.entries(wanted.sent ?? {})) {
      if (named(name).length !== times) no(main, `${name} was sent ${named(name).length} times, not ${times}`);
    }
    if (wanted.requests_max !== undefined && posts.length > wanted.requests_max) no(main, `${posts.length} requests, at most ${wanted.requests_max} expected`);
    if (wanted.requests_min !== undefined && posts.length < wanted.requests_min) no(main, `${posts.length} requests, at least ${wanted.requests_min} expected`);
    if (wanted.batch_events_max !== undefined) {
      const largest = Math.max(0, ...posts.map((post) => post.batch?.events?.length ?? 0));
      if (largest > wanted.batch_events_max) no("SDK-BATCH-1", `a batch of ${largest} events, at most ${wanted.batch_events_max} allowed`);
    }
    if (wanted.silent_since && this.marks[wanted.silent_since]) {
      const mark = this.marks[wanted.silent_since];
      if (posts.length > mark.posts) no(main, `${posts.length - mark.posts} requests with events after ${wanted.silent_since}`);
      if (wanted.silent_all && others.length > mark.others) no(main, `${others.length - mark.others} other requests after ${wanted.silent_since}`);
    }
    if (wanted.gap_min_ms !== undefined) {
      const [first, last] = [posts[0], posts[1]];
      if (!last || last.at - first.replied < wanted.gap_min_ms - 60) no(main, `the second request came ${last ? Math.round(last.at - first.replied) : "not"} ms after the first reply`);
    }
    if (wanted.dropped !== undefined) {
      const told = posts.filter((post) => post.accepting && post.delivered).reduce((sum, post) => sum + (post.batch.dropped ?? 0), 0);
      const expected = wanted.dropped === "rest" ? this.tracked.length - there.size : wanted.dropped;
      if (told !== expected) no("SDK-QUEUE-3", `dropped told of ${told} events, ${expected} were lost`);
    }
    if (wanted.lost_min !== undefined && this.tracked.length - there.size < wanted.lost_min) no("SDK-QUEUE-2", `nothing was pushed out: ${there.size} of ${this.tracked.length} events came`);
    if (wanted.newest_kept && !there.has(this.tracked.length)) no("SDK-QUEUE-2", "the newest event was lost");
    if (wanted.ordered) {
      const order = posts.flatMap((post) => post.batch?.events ?? []).map((event) => event.properties?.n);
      if (order.some((n, i) => i > 0 && n < order[i - 1])) no("SDK-BATCH-4", `events came as ${order.join()}`);
    }
    if (wanted.attempts) {
      const sent = posts.map((post) => post.batch?.attempt).slice(0, wanted.attempts.length);
      if (JSON.stringify(sent) !== JSON.stringify(wanted.attempts)) no("SDK-BATCH-6", `attempt was ${sent.join()}, not ${wanted.attempts.join()}`);
    }
    for (const [name, user] of Object.entries(wanted.users ?? {})) {
      for (const event of named(name)) if ((event.user_id ?? null) !== user) no("SDK-ID-6", `${name} has user_id ${event.user_id}, not ${user}`);
    }
    if (wanted.devices !== undefined) {
      const devices = new Set(posts.flatMap((post) => post.batch?.events ?? []).map((event) => event.device_id));
      if (devices.size !== wanted.devices) no(wanted.devices === 1 ? "SDK-ID-4" : "SDK-PRIVACY-2", `${devices.size} device ids, not ${wanted.devices}`);
    }
    if (wanted.etag_sent) {
      const asked = others.filter((one) => one.path === "/v1/config");
      if (!asked.at(-1)?.headers["if-none-match"]) no("SDK-CONFIG-1", "the config was asked for again without If-None-Match");
    }
    if (wanted.time_within_ms !== undefined) {
      for (const post of posts) {
        for (const event of post.batch?.events ?? []) {
          const age = post.batch.sent_at - event.time;
          if (!(age >= -50 && age <= wanted.time_within_ms)) no("SDK-TIME-1", `${event.name}: time is ${age} ms before sent_at`);
        }
      }
    }
  }
}
