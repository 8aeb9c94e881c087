// Events that wait, in order, in memory and in pieces in durable storage.
//
// A piece ("shard") is one key of at most 180 KB; an index names the shards in
// order and holds the count of what was lost. Changes are written a moment
// later, or at once by `persist`. Storage that is full or broken stops nothing.

import type { Host } from "./host";
import { attempt, bytesOf } from "./util";

/** SDK-LIMIT-1, as a host may store it: quotes escaped. */
const SHARD_BYTES_MAX = 180 * 1024;
const SLOTS_MAX = 40;
const PERSIST_MS = 500;

export interface Entry {
  id: string;
  /** JSON. */
  text: string;
  /** Bytes of the text. */
  bytes: number;
  /** When it was queued, by `mono`. */
  at: number;
}

interface Shard {
  slot: number;
  entries: Entry[];
  /** Bytes as stored. */
  stored: number;
  dirty: boolean;
}

export class Queue {
  /** Events lost since the last success that told of them. */
  dropped = 0;
  count = 0;
  bytes = 0;
  private shards: Shard[] = [];
  private indexDirty = false;
  private timer: any;

  constructor(
    private host: Host,
    private prefix: string,
    private countMax: number,
    private bytesMax: number,
  ) {
    this.load();
  }

  /** Adds at the end; pushes out the oldest not in `busy` where there is no room. */
  push(entry: Entry, busy?: { [id: string]: unknown }): void {
    this.add(entry);
    while (this.count > 1 && (this.count > this.countMax || this.bytes > this.bytesMax)) {
      const victim = this.oldest(busy);
      if (!victim || victim === entry) break;
      this.remove({ [victim.id]: true });
      this.dropped += 1;
      this.indexDirty = true;
    }
    this.later();
  }

  /** The first events, at most so many and so large. */
  take(count: number, bytes: number): Entry[] {
    const taken: Entry[] = [];
    let sum = 0;
    for (const shard of this.shards) {
      for (const entry of shard.entries) {
        sum += entry.bytes + 1;
        if (taken.length >= count || (taken.length > 0 && sum > bytes)) return taken;
        taken.push(entry);
      }
    }
    return taken;
  }

  first(): Entry | undefined {
    return this.oldest();
  }

  /** Takes events out; how many were there. */
  remove(ids: { [id: string]: unknown }): number {
    let removed = 0;
    let wanted = Object.keys(ids).length;
    for (let i = 0; i < this.shards.length && wanted > 0; i += 1) {
      const shard = this.shards[i];
      const kept = shard.entries.filter((entry) => {
        if (!Object.prototype.hasOwnProperty.call(ids, entry.id)) return true;
        this.bytes -= entry.bytes;
        shard.stored -= bytesOf(entry.text, true) + 1;
        return false;
      });
      const gone = shard.entries.length - kept.length;
      if (gone === 0) continue;
      removed += gone;
      wanted -= gone;
      shard.entries = kept;
      shard.dirty = true;
    }
    this.count -= removed;
    if (removed) this.later();
    return removed;
  }

  /** Counts events as lost, or (negative) as told of. */
  lose(events: number): void {
    if (!events) return;
    this.dropped = Math.max(0, this.dropped + events);
    this.indexDirty = true;
    this.later();
  }

  /** Empties it, in memory and in storage, and forgets what was lost. */
  clear(): void {
    for (let slot = 0; slot < SLOTS_MAX; slot += 1) {
      attempt(() => this.host.remove(this.key(slot)));
    }
    this.shards = [];
    this.count = this.bytes = this.dropped = 0;
    this.indexDirty = false;
    attempt(() => this.host.remove(this.key()));
  }

  /** Writes what has changed, now. What cannot be written is tried again later. */
  persist(): void {
    clearTimeout(this.timer);
    this.timer = undefined;
    let failed = false;
    const empty = this.shards.filter((shard) => !shard.entries.length);
    if (empty.length) {
      this.shards = this.shards.filter((shard) => shard.entries.length);
      this.indexDirty = true;
      for (const shard of empty) attempt(() => this.host.remove(this.key(shard.slot)));
    }
    for (const shard of this.shards) {
      if (!shard.dirty) continue;
      try {
        this.host.set(this.key(shard.slot), "[" + shard.entries.map((entry) => entry.text).join(",") + "]");
        shard.dirty = false;
      } catch (_) {
        failed = true;
      }
    }
    if (this.indexDirty) {
      try {
        this.host.set(this.key(), JSON.stringify({ s: this.shards.map((shard) => shard.slot), d: this.dropped }));
        this.indexDirty = false;
      } catch (_) {
        failed = true;
      }
    }
    if (failed) this.later(10 * PERSIST_MS);
  }

  private add(entry: Entry): void {
    const stored = bytesOf(entry.text, true) + 1;
    let shard = this.shards[this.shards.length - 1];
    if (!shard || (shard.entries.length && shard.stored + stored > SHARD_BYTES_MAX)) {
      shard = { slot: this.freeSlot(), entries: [], stored: 2, dirty: true };
      this.shards.push(shard);
      this.indexDirty = true;
    }
    shard.entries.push(entry);
    shard.stored += stored;
    shard.dirty = true;
    this.count += 1;
    this.bytes += entry.bytes;
  }

  private oldest(busy?: { [id: string]: unknown }): Entry | undefined {
    for (const shard of this.shards) {
      for (const entry of shard.entries) if (!busy || !(entry.id in busy)) return entry;
    }
    return undefined;
  }

  private freeSlot(): number {
    let slot = 0;
    while (this.shards.some((shard) => shard.slot === slot)) slot += 1;
    return slot;
  }

  private key(slot?: number): string {
    return this.prefix + ".q" + (slot === undefined ? "" : "." + slot);
  }

  private later(ms = PERSIST_MS): void {
    if (this.timer === undefined) this.timer = setTimeout(() => attempt(() => this.persist()), ms);
  }

  private load(): void {
    const index = attempt(() => JSON.parse(this.host.get(this.key()) || "null"));
    let slots: number[] = [];
    if (index && Array.isArray(index.s)) slots = index.s;
    // Without an index every slot may hold something.
    else for (let slot = 0; slot < SLOTS_MAX; slot += 1) slots.push(slot);
    if (index && index.d > 0) this.dropped = Math.floor(index.d);
    const seen: { [id: string]: true } = {};
    for (const slot of slots) {
      const events = attempt(() => JSON.parse(this.host.get(this.key(slot)) || "null"));
      if (!Array.isArray(events)) continue;
      const shard: Shard = { slot, entries: [], stored: 2, dirty: false };
      for (const event of events) {
        if (!event || typeof event.id !== "string" || seen[event.id]) continue;
        seen[event.id] = true;
        const text = JSON.stringify(event);
        shard.entries.push({ id: event.id, text, bytes: bytesOf(text), at: 0 });
        shard.stored += bytesOf(text, true) + 1;
        this.count += 1;
        this.bytes += bytesOf(text);
      }
      if (shard.entries.length) this.shards.push(shard);
    }
  }
}
