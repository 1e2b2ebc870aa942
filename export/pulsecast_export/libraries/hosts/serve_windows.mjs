// node serve_windows.mjs PULSECAST_JS MODEL_WASM: reads batches from stdin, each a little-endian uint32 count, `count`
// float32 windows, as many int64 times and as many int64 series, and writes to stdout the number of results as a uint32, the float32 forecasts,
// then the lower and the upper bounds if there are any. An error is one line on stderr.
import { readFile } from 'node:fs/promises';

async function serve([wrapper, module]) {
  // with a data: address the file is a module, even if a package.json above it says otherwise
  const source = await readFile(wrapper);
  const { load } = await import(`data:text/javascript;base64,${source.toString('base64')}`);
  const model = await load(await readFile(module));
  const size = 4 * model.context * model.measured;
  let held = Buffer.alloc(0);
  for await (const chunk of process.stdin) {
    held = Buffer.concat([held, chunk]);
    while (held.length >= 4 && held.length >= 4 + held.readUInt32LE(0) * (size + 16)) {
      const count = held.readUInt32LE(0), middle = 4 + count * size, after = middle + 8 * count, end = after + 8 * count;
      const values = new Float32Array(new Uint8Array(held.subarray(4, middle)).buffer);
      const whole = (from, to) => Array.from(new BigInt64Array(new Uint8Array(held.subarray(from, to)).buffer), Number);
      const times = whole(middle, after), series = model.info.series ? whole(after, end) : undefined;
      held = held.subarray(end);
      const { forecast, lower, upper } = model.predictBatch(values, times, { series });
      const results = [forecast, lower, upper].filter((each) => each);
      process.stdout.write(new Uint8Array(new Uint32Array([results.length]).buffer));
      for (const each of results) process.stdout.write(new Uint8Array(each.buffer));
    }
  }
}

serve(process.argv.slice(2)).catch((error) => {
  console.error(error.message);
  process.exitCode = 1;
});
