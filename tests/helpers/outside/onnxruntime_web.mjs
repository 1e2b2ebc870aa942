// Runs an ONNX file of a bundle in onnxruntime-web: node onnxruntime_web.mjs MODEL INPUTS.json
import { readFileSync } from 'node:fs';
import * as ort from 'onnxruntime-web';

ort.env.wasm.numThreads = 1;
const [model, inputs] = process.argv.slice(2);
const { values, shape, time } = JSON.parse(readFileSync(inputs, 'utf8'));
const session = await ort.InferenceSession.create(readFileSync(model));
const found = await session.run({
  values: new ort.Tensor('float32', Float32Array.from(values), shape),
  time: new ort.Tensor('int64', BigInt64Array.from(time, BigInt), [time.length]),
});
console.log(JSON.stringify({ forecast: Array.from(found.forecast.data) }));
