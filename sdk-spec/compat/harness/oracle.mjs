// What became of the events: asked of the gateway, not of the SDK.

/** Asks until the stores have taken all that is in the log; at most 15 s. */
async function settled(gateway) {
  let lanes = [];
  for (let tries = 0; tries < 300; tries += 1) {
    const status = await (await fetch(`http://${gateway.admin}/status`)).json();
    lanes = status.fan_out?.lanes ?? [];
    if (lanes.length && lanes.every((lane) => JSON.stringify(lane.committed) === JSON.stringify(lane.end))) return;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(`the stores are still behind after 15 s: ${JSON.stringify(lanes)}`);
}

/** How often the event of each marker is in the store: `{ marker: count }`. */
export async function counted(gateway, property) {
  await settled(gateway);
  const reply = await fetch(`http://${gateway.http}/v1/apps/demo/query`, {
    method: "POST",
    headers: { authorization: "Bearer demo-read-token" },
    body: JSON.stringify({
      metrics: ["event_count"], dimensions: [`properties.${property}`], date_range: { last: "7d" }, limit: 1000,
    }),
  });
  const answer = await reply.json();
  if (reply.status !== 200) throw new Error(JSON.stringify(answer));
  const rows = answer.results.map(({ dimensions: [marker], metrics: [count] }) => [marker, count]);
  return Object.fromEntries(rows.filter(([marker]) => marker !== null));
}

/** Sum of the gateway's own counter `name` over the series that match `labels`. */
export async function metric(gateway, name, labels = {}) {
  const text = await (await fetch(`http://${gateway.admin}/metrics`)).text();
  let sum = 0;
  for (const [, series, value] of text.matchAll(new RegExp(`^sluice_${name}(?:\\{(.*)\\})? (\\S+)$`, "gm"))) {
    if (Object.entries(labels).every(([label, wanted]) => series?.includes(`${label}="${wanted}"`))) sum += Number(value);
  }
  return sum;
}

/** Events that were lost and that were counted more than once, of those sent. */
export function verdict(markers, found) {
  const lost = markers.filter((marker) => !found[marker]);
  const duplicates = markers.filter((marker) => found[marker] > 1);
  const strange = Object.keys(found).filter((marker) => !markers.includes(marker));
  return { lost, duplicates, strange };
}
