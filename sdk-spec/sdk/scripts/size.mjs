// Fails when a mini program would have to carry more than 15 KB compressed.

import fs from "node:fs";
import zlib from "node:zlib";

const BYTES_MAX = 15_000;
let failed = 0;
for (const name of ["index.js", "index.mjs"]) {
  const text = fs.readFileSync(new URL(`../dist/${name}`, import.meta.url));
  const bytes = zlib.gzipSync(text, { level: 9 }).length;
  const fits = bytes < BYTES_MAX;
  if (!fits) failed += 1;
  console.log(`${fits ? "ok" : "TOO LARGE"}  ${name}: ${text.length} bytes, ${bytes} gzipped, ${BYTES_MAX} allowed`);
}
console.log(`${2 - failed} passed, ${failed} failed`);
process.exit(failed ? 1 : 0);
