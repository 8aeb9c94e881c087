// Who reports: device, user, super properties, consent. Kept in one key of
// durable storage (SDK-ID, SDK-PRIVACY).

import type { Host } from "./host";
import type { Properties } from "./types";
import { attempt, share, uuidv7 } from "./util";

export class Identity {
  device_id = "";
  user_id = "";
  ids: { [kind: string]: string } = {};
  super: Properties = {};
  /** Nothing is collected. */
  out = false;
  private unsaved = false;

  constructor(private host: Host, private key: string, consent: boolean) {
    const kept = attempt(() => JSON.parse(host.get(key) || "null"));
    if (kept && typeof kept === "object") {
      if (typeof kept.d === "string") this.device_id = kept.d;
      if (typeof kept.u === "string") this.user_id = kept.u;
      if (kept.i && typeof kept.i === "object") this.ids = kept.i;
      if (kept.s && typeof kept.s === "object") this.super = kept.s;
      this.out = kept.o === true;
    } else {
      this.out = !consent;
    }
    if (!this.out && !this.device_id) this.renew();
  }

  /** A new device. */
  renew(): void {
    this.device_id = uuidv7(this.host);
    this.save();
  }

  /** Forgets the user, keeps the device. */
  reset(): void {
    this.user_id = "";
    this.ids = {};
    this.super = {};
    this.save();
  }

  /** Forgets all but the wish to be left alone. */
  leave(): void {
    this.device_id = "";
    this.out = true;
    this.reset();
  }

  enter(): void {
    this.out = false;
    this.renew();
  }

  sampled(rate: number): boolean {
    return rate >= 1 || !this.device_id || share(this.device_id) < rate;
  }

  save(): void {
    const kept = { d: this.device_id, u: this.user_id, i: this.ids, s: this.super, o: this.out };
    this.unsaved = attempt(() => (this.host.set(this.key, JSON.stringify(kept)), true)) !== true;
  }

  /** Tries again what storage refused. */
  persist(): void {
    if (this.unsaved) this.save();
  }
}
