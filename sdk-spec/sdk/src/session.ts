// Sessions: a new one at the launch, when shown 30 s or more after hidden,
// after 30 min without an event, and at reset (SDK-SESSION).

import type { Host } from "./host";
import { ticks, uuidv7 } from "./util";

const HIDDEN_MS = 30000;
const IDLE_MS = 1800000;

export class Session {
  private id = "";
  private seq = 0;
  private active = ticks();
  private hidden: number | undefined;

  constructor(private host: Host) {}

  /** The place of the next event. */
  next(): { session_id: string; seq: number } {
    const now = ticks();
    if (!this.id || Math.abs(now - this.active) >= IDLE_MS) this.renew();
    this.active = now;
    this.seq += 1;
    return { session_id: this.id, seq: this.seq };
  }

  renew(): void {
    this.id = uuidv7(this.host);
    this.seq = 0;
  }

  show(): void {
    if (this.hidden !== undefined && Math.abs(ticks() - this.hidden) >= HIDDEN_MS) this.renew();
    this.hidden = undefined;
  }

  hide(): void {
    this.hidden = ticks();
  }
}
