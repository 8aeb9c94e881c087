// A zstd frame of stored blocks (RFC 8878, 3.1.1): any decoder must read it, and
// any node can make it.

const BLOCK_BYTES_MAX = 128 * 1024;

export function zstdStored(bytes) {
  const header = Buffer.alloc(9);
  header.writeUInt32LE(0xfd2fb528, 0);
  header[4] = 0b1010_0000; // content size in four bytes, single segment
  header.writeUInt32LE(bytes.length, 5);
  const parts = [header];
  for (let at = 0; at < bytes.length || at === 0; at += BLOCK_BYTES_MAX) {
    const block = bytes.subarray(at, at + BLOCK_BYTES_MAX);
    const last = at + BLOCK_BYTES_MAX >= bytes.length ? 1 : 0;
    const head = Buffer.alloc(3);
    head.writeUIntLE((block.length << 3) | last, 0, 3);
    parts.push(head, block);
  }
  return Buffer.concat(parts);
}
