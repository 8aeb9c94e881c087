// `GET /v1/config`: asked at the start and now and then, remembered, and never
// in the way of anything (SDK-CONFIG).

import { type Answer, type Host, NO_ANSWER } from "./host";
import { json } from "./sender";
import type { RemoteConfig } from "./types";
import { attempt, mono } from "./util";

const REFRESH_MS = 600000;
const FIRST_WAIT_MS = 3000;

export const DEFAULTS: RemoteConfig = { enabled: true, sample_rate: 1, flush_interval_ms: 5000, batch_events_max: 50 };

export class Remote {
  config: RemoteConfig = DEFAULTS;
  /** The first batch of the first start waits for this. */
  settled = false;
  private etag = "";
  private asked = -Infinity;
  private timer: any;
  private stopped = false;
  /** Grows by `forget`: an answer to an older request is not read. */
  private era = 0;

  constructor(
    private host: Host,
    private key: string,
    private url: string,
    private headers: { [name: string]: string },
    private timeoutMs: number,
    private changed: () => void,
  ) {
    const kept = attempt(() => JSON.parse(host.get(key) || "null"));
    if (kept && kept.c) {
      this.config = merged(DEFAULTS, kept.c);
      this.etag = String(kept.e || "");
      this.settled = true;
    }
  }

  /** Asks, unless it did a short while ago. */
  refresh(): void {
    if (this.stopped || mono() - this.asked < REFRESH_MS) return;
    this.asked = mono();
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.refresh(), REFRESH_MS + 1);
    if (this.timer && this.timer.unref) this.timer.unref();
    if (!this.settled) setTimeout(() => attempt(() => this.settle()), FIRST_WAIT_MS);
    const headers: { [name: string]: string } = { Authorization: this.headers.Authorization };
    if (this.etag) headers["If-None-Match"] = this.etag;
    let over = false;
    const era = this.era;
    const done = (answer: Answer) => {
      if (over || this.stopped || era !== this.era) return;
      over = true;
      if (answer.status === 200) attempt(() => this.take(json(answer.body), answer.header("etag") || ""));
      attempt(() => this.settle());
    };
    setTimeout(() => done(NO_ANSWER), this.timeoutMs);
    try {
      this.host.request({ method: "GET", url: this.url, headers, timeout_ms: this.timeoutMs }, done);
    } catch (_) {
      done(NO_ANSWER);
    }
  }

  stop(): void {
    this.stopped = true;
    clearTimeout(this.timer);
  }

  /** Opt-out forgets this, too: it is asked for anew after an opt-in. */
  forget(): void {
    this.era += 1;
    clearTimeout(this.timer);
    this.config = DEFAULTS;
    this.etag = "";
    this.settled = false;
    this.asked = -Infinity;
    attempt(() => this.host.remove(this.key));
  }

  private take(answer: any, etag: string): void {
    if (typeof answer.enabled !== "boolean") return; // not a gateway's
    this.config = merged(this.config, answer);
    this.etag = etag;
    attempt(() => this.host.set(this.key, JSON.stringify({ c: this.config, e: etag })));
    this.settled = true;
    this.changed();
  }

  private settle(): void {
    if (this.settled) return;
    this.settled = true;
    this.changed();
  }
}

/** The answer over what was known; a member out of range keeps its former value. */
function merged(known: RemoteConfig, answer: any): RemoteConfig {
  const number = (name: keyof RemoteConfig, low: number, high: number, whole: boolean) => {
    const value = answer[name];
    const fine = typeof value === "number" && value >= low && value <= high && (!whole || value % 1 === 0);
    return fine ? value : (known[name] as number);
  };
  return {
    enabled: typeof answer.enabled === "boolean" ? answer.enabled : known.enabled,
    sample_rate: number("sample_rate", 0, 1, false),
    flush_interval_ms: number("flush_interval_ms", 100, 86400000, true),
    batch_events_max: number("batch_events_max", 1, 500, true),
  };
}
