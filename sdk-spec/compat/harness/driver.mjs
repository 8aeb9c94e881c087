// What drivers and `packages.mjs` of the families share.

/** Declares that an SDK sends again what was refused or not answered; `why`: its rule. */
export function resends(why) {
  return { resends: true, why };
}

/** Declares that it does not, so that what did not arrive is lost. */
export function loses(why) {
  return { resends: false, why };
}

/**
 * What a driver is told, as JSON in its last argument: `address` (HOST:PORT to
 * report to), `events` (how many to send: the n-th, from 0, has the property
 * `marker` of `m-n`), `timeoutMs` (the SDK's time-out; absent: its own default),
 * `dir` (for files).
 */
export function settings() {
  const { address, events, timeoutMs, dir } = JSON.parse(process.argv.at(-1));
  return { address, timeoutMs, dir, markers: Array.from({ length: events }, (_, n) => `m-${n}`) };
}

/** What the SDK itself reported: the last thing that a driver prints. */
export function report(said) {
  process.stdout.write(`${JSON.stringify(said)}\n`, () => process.exit(0));
}
