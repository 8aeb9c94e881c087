// Small things that several parts need.

export const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** Asks until `good(answer)`, at most `within` ms; the last answer. */
export async function eventually(ask, good, within = 5000, every = 100) {
  const end = Date.now() + within;
  for (;;) {
    const answer = await ask();
    if (good(answer) || Date.now() > end) return answer;
    await sleep(every);
  }
}

/** Short and unique enough for ids of a test run. */
export function unique() {
  return Date.now().toString(36) + Math.random().toString(36).slice(2, 10);
}
