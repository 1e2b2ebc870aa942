// Answers as onnxruntime-web does, in Node and in a page, from a "model" of JSON: each window it knows, with its forecast.
export const env = { wasm: {} };
export class Tensor {
  constructor(type, data, dims) { Object.assign(this, { type, data, dims }); }
}
async function read(source) {
  if (globalThis.document) return (await fetch(source)).text();
  return (await import('node:fs')).readFileSync(source, 'utf8');
}
export const InferenceSession = {
  async create(source) {
    const known = JSON.parse(await read(source));
    return {
      async run({ values: { data, dims }, time }) {
        const here = known.find(({ values, at }) =>
          values.every((one, i) => one === data[i]) && (at === null || BigInt(at) === time.data[0]));
        if (!here || dims.length !== 3 || env.wasm.numThreads !== 1) throw new Error('an unknown window');
        return { forecast: { data: Float32Array.from(here.forecast) } };
      },
    };
  },
};
