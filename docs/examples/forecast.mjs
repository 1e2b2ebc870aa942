// In Node: node forecast.mjs bundle/native/lib/wasm32 TIME < counts.txt
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';

const [folder, time] = process.argv.slice(2);
const { load } = await import(pathToFileURL(resolve(folder, 'pulsecast.js')));
const model = await load(readFileSync(resolve(folder, 'model.wasm')));
if (!/^-?\d+$/.test(time ?? '')) throw new Error(`TIME is ${time}; expected unix seconds, a whole number`);
const values = readFileSync(0, 'utf8').trim().split(/\s+/).map(Number); // oldest first
const { forecast, lower, upper } = model.predict(values, Number(time)); // unix seconds (UTC) of the last count
if (Number.isNaN(forecast[0])) throw new Error('no forecast: a count is not finite, or the time is not known');
for (let i = 0; i < forecast.length; i++) console.log(forecast[i], lower[i], upper[i]);
