// Sends what waits: one request at a time, when it is due, and never sooner
// than the gateway and the waits after failures allow (SDK-RETRY, SDK-BATCH).

import { type Answer, type Host, NO_ANSWER } from "./host";
import type { Entry, Queue } from "./queue";
import type { Problem, RemoteConfig } from "./types";
import { attempt, mono } from "./util";

const BACKOFF_MAX_MS = 300000;
const WAIT_MAX_MS = 3600000;
/** Below the gateway's 1 MiB, with room for the batch's own fields. */
const BODY_BYTES_MAX = 1000000;

export interface Shipping {
  url: string;
  headers: { [name: string]: string };
  timeout_ms: number;
  retry_base_ms: number;
  /** The batch's own fields, made anew for each try. */
  envelope(attempt: number, dropped: number): { [field: string]: unknown };
  config(): RemoteConfig;
  /** Whether anything may be sent now. */
  open(): boolean;
  problem(problem: Problem): void;
}

export class Sender {
  /** Ids under way. */
  busy: { [id: string]: true } | undefined;
  private failures = 0;
  /** By `mono`: not before this, by the gateway's word. */
  private heldUntil = 0;
  /** By `mono`: not before this, by our own. */
  private backoffUntil = 0;
  /** Events in a request, halved by 413. */
  private narrowed = Infinity;
  private draining = false;
  private lastSent = -Infinity;
  private timer: any;
  private timerDue = Infinity;
  private abort: (() => void) | undefined;
  /** Grows by `stop`: an answer to an older request is not read. */
  private era = 0;
  private waiters: Array<() => void> = [];

  constructor(private host: Host, private queue: Queue, private to: Shipping) {}

  /** Something may be due. */
  poke(): void {
    if (this.busy || !this.to.open()) return;
    if (!this.queue.count) return this.idle();
    const due = this.due();
    const wait = due - mono();
    if (wait <= 0) return this.send();
    if (this.timer !== undefined && this.timerDue <= due) return;
    clearTimeout(this.timer);
    this.timerDue = due;
    this.timer = setTimeout(() => attempt(() => this.ring(due)), wait);
  }

  /** Sends all that waits, as soon as it is allowed; `done` when nothing waits. */
  drain(done?: () => void): void {
    this.draining = true;
    if (done) this.waiters.push(done);
    this.poke();
  }

  /** The network is back: our own wait is over, the gateway's is not. */
  online(): void {
    this.backoffUntil = 0;
    if (this.failures) this.draining = true;
    this.rearm();
  }

  /** The settings changed. */
  rearm(): void {
    clearTimeout(this.timer);
    this.timer = undefined;
    this.timerDue = Infinity;
    this.poke();
  }

  /** Forgets what is under way and all waits but the gateway's. */
  stop(): void {
    this.era += 1;
    const abort = this.abort;
    this.busy = this.abort = undefined;
    if (abort) attempt(abort);
    clearTimeout(this.timer);
    this.timer = undefined;
    this.timerDue = Infinity;
    this.failures = this.backoffUntil = 0;
    this.idle();
  }

  /** When the next request is due, by `mono`. */
  private due(): number {
    const config = this.to.config();
    const first = this.queue.first() as Entry;
    const full = this.queue.count >= this.limit();
    const asked = this.draining || full || this.failures > 0;
    const regular = asked ? 0 : Math.max(first.at, this.lastSent) + config.flush_interval_ms;
    return Math.max(regular, this.heldUntil, this.backoffUntil);
  }

  /** The timer measures time even where the clock was changed. */
  private ring(due: number): void {
    this.timer = undefined;
    this.timerDue = Infinity;
    const now = mono();
    if (this.heldUntil <= due) this.heldUntil = Math.min(this.heldUntil, now);
    if (this.backoffUntil <= due) this.backoffUntil = Math.min(this.backoffUntil, now);
    if (!this.busy && this.queue.count && this.to.open()) {
      if (Math.max(this.heldUntil, this.backoffUntil) > now) this.poke();
      else this.send();
    } else this.poke();
  }

  private limit(): number {
    return Math.max(1, Math.min(500, this.to.config().batch_events_max, this.narrowed));
  }

  private send(): void {
    clearTimeout(this.timer);
    this.timer = undefined;
    this.timerDue = Infinity;
    const entries = this.queue.take(this.limit(), BODY_BYTES_MAX);
    const dropped = this.queue.dropped;
    const head = JSON.stringify(this.to.envelope(this.failures + 1, dropped));
    const body = head.slice(0, -1) + ',"events":[' + entries.map((entry) => entry.text).join(",") + "]}";
    this.busy = {};
    for (const entry of entries) this.busy[entry.id] = true;
    this.lastSent = mono();
    const era = this.era;
    let over = false;
    const done = (answer: Answer) => {
      if (over) return;
      over = true;
      clearTimeout(guard);
      if (era !== this.era) return;
      this.busy = this.abort = undefined;
      // Nothing of ours may break into a callback of the host (SDK-EVENT-3).
      attempt(() => this.read(entries, dropped, answer));
      attempt(() => this.poke());
    };
    const guard = setTimeout(() => {
      if (this.abort && era === this.era) attempt(this.abort);
      done(NO_ANSWER);
    }, this.to.timeout_ms);
    try {
      const abort = this.host.request(
        { method: "POST", url: this.to.url, headers: this.to.headers, body, timeout_ms: this.to.timeout_ms },
        done,
      );
      if (!over) this.abort = abort;
    } catch (_) {
      done(NO_ANSWER);
    }
  }

  private read(entries: Entry[], dropped: number, answer: Answer): void {
    const status = answer.status;
    const reply = json(answer.body);
    const wait = Math.min(WAIT_MAX_MS, Math.max(retryAfter(answer.header("retry-after")), Number(reply.retry_after_ms) || 0));
    if (status === 200 || status === 503) {
      if (typeof reply.accepted === "number") return this.fates(entries, dropped, status, reply, wait);
      return this.fail(wait);
    }
    if (status > 200 && status < 300) {
      this.settle(entries);
      return this.succeed(dropped);
    }
    if (status < 400 || status === 408 || status === 429 || status >= 500) return this.fail(wait);
    if (status === 413 && entries.length > 1) {
      this.narrowed = Math.max(1, Math.floor(entries.length / 2));
      this.draining = true;
      return;
    }
    this.settle(entries);
    this.queue.lose(entries.length);
    const error = reply.error || {};
    const reason = String(error.reason || "status_" + status);
    this.to.problem({ reason, detail: String(error.detail || ""), events: entries.length });
    this.failures = 0;
    if (status !== 413) {
      this.draining = false;
      this.backoffUntil = mono() + this.to.config().flush_interval_ms;
    }
  }

  /** Event by event: 200 forgets what is not listed, 503 keeps it. */
  private fates(entries: Entry[], dropped: number, status: number, reply: any, wait: number): void {
    const over: { [id: string]: true } = {};
    if (status === 200) for (const entry of entries) over[entry.id] = true;
    let retry = 0;
    for (const result of Array.isArray(reply.results) ? reply.results : []) {
      const entry = result && entries[result.index];
      if (!entry) continue;
      if (result.outcome === "retry") {
        delete over[entry.id];
        retry += 1;
      } else {
        over[entry.id] = true;
        if (result.outcome === "rejected") {
          this.to.problem({ reason: String(result.reason), detail: String(result.detail || ""), events: 1 });
        }
      }
    }
    const removed = this.queue.remove(over);
    if (status === 200 && !retry) return this.succeed(dropped);
    if (status === 200) this.queue.lose(-dropped);
    if (removed) this.failures = 0;
    this.fail(wait);
  }

  private settle(entries: Entry[]): void {
    const over: { [id: string]: true } = {};
    for (const entry of entries) over[entry.id] = true;
    this.queue.remove(over);
  }

  private succeed(dropped: number): void {
    this.queue.lose(-dropped);
    this.failures = this.backoffUntil = 0;
    this.narrowed = this.narrowed >= 500 ? Infinity : this.narrowed + Math.max(1, this.narrowed >> 2);
  }

  private fail(wait: number): void {
    const step = Math.min(BACKOFF_MAX_MS, this.to.retry_base_ms * Math.pow(2, Math.min(this.failures, 20)));
    this.failures += 1;
    const now = mono();
    if (wait > 0) this.heldUntil = now + wait;
    this.backoffUntil = now + wait + Math.random() * step;
  }

  private idle(): void {
    this.draining = false;
    const waiters = this.waiters;
    this.waiters = [];
    for (const done of waiters) attempt(done);
  }
}

/** Seconds or an HTTP date, as milliseconds from now; 0 where there is none. */
export function retryAfter(value: string | undefined): number {
  if (!value) return 0;
  const seconds = Number(value);
  if (seconds >= 0) return seconds * 1000;
  const at = Date.parse(value);
  return at > 0 ? Math.max(0, at - Date.now()) : 0;
}

/** The object in a reply, or an empty one. */
export function json(body: unknown): any {
  let value = body;
  if (typeof body === "string") value = attempt(() => JSON.parse(body));
  return value && typeof value === "object" && !Array.isArray(value) ? value : {};
}
