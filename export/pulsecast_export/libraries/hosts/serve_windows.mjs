// node serve_windows.mjs PULSECAST_JS MODEL_WASM: reads batches from stdin, each a little-endian uint32 count and
// `count` float32 windows, and writes their float32 forecasts to stdout. An error is one line on stderr.
import { readFile } from 'node:fs/promises';

async function serve([wrapper, module]) {
  // with a data: address the file is a module, even if a package.json above it says otherwise
  const source = await readFile(wrapper);
  const { load } = await import(`data:text/javascript;base64,${source.toString('base64')}`);
  const model = await load(await readFile(module));
  const size = 4 * model.context * model.features;
  let held = Buffer.alloc(0);
  for await (const chunk of process.stdin) {
    held = Buffer.concat([held, chunk]);
    while (held.length >= 4 && held.length >= 4 + held.readUInt32LE(0) * size) {
      const end = 4 + held.readUInt32LE(0) * size;
      const windows = new Float32Array(new Uint8Array(held.subarray(4, end)).buffer);
      held = held.subarray(end);
      process.stdout.write(new Uint8Array(model.predictBatch(windows).buffer));
    }
  }
}

serve(process.argv.slice(2)).catch((error) => {
  console.error(error.message);
  process.exitCode = 1;
});
