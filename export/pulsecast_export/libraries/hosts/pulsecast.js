// The forecaster of model.wasm: see pulsecast.d.ts
export class PulsecastError extends Error {}

function fail(text) {
  throw new PulsecastError(text);
}

export async function load(source) {
  if (source?.byteLength == null) source = await (inNode ? opened : fetched)(source);
  const { instance: { exports: api } } = await WebAssembly.instantiate(source).catch(({ message }) =>
    fail(`no model that runs here (it needs WebAssembly SIMD): ${message}`));
  if (api.model_selftest?.() !== 0) fail('the self-test failed: not this model, or not here');
  return model(api);
}

const inNode = globalThis.process?.versions?.node && !globalThis.document;

async function fetched(source) {
  const answer = await fetch(source);
  return answer.ok ? answer.arrayBuffer() : fail(`${source}: the server answers ${answer.status}`);
}

async function opened(source) { // Node has files, and its fetch takes no paths
  if (/^(https?|data|blob):/.test(source)) return fetched(source);
  const { readFile } = await import('node:fs/promises');
  return readFile(/^file:/.test(source) ? new URL(source) : source).catch(({ message }) => fail(message));
}

const NEXT = -(2n ** 63n); // as a time: the next step

function model(api) {
  const [each, context, measured, horizon, results, rows] = [1, 2, 3, 4, 5, 6].map(api.model_size);
  const size = context * measured, block = 64; // windows at once
  const text = new Uint8Array(api.memory.buffer, api.model_info());
  const info = JSON.parse(new TextDecoder().decode(text.subarray(0, text.indexOf(0))));
  const timed = 'time' in info.inputs;
  let free = api.__heap_base.value;

  function take(bytes) {
    const at = Math.ceil(free / 16) * 16;
    api.memory.grow(Math.max(0, Math.ceil((at + bytes - api.memory.buffer.byteLength) / 65536)));
    free = at + bytes;
    return at;
  }

  const floats = (at, length) => new Float32Array(api.memory.buffer, at, length);
  const whole = (at, numbers) => new BigInt64Array(api.memory.buffer, at, numbers.length).set(numbers);
  const outputs = (count) => [0, 1, 2].map(() => take(4 * count * horizon));
  const named = ([forecast, lower, upper]) => ({ forecast, lower, upper });
  const input = take(4 * block * size), when = take(8 * block), which = take(8 * block), output = outputs(block);

  function seconds(time) {
    if (time === undefined && !timed) return NEXT;
    if (time instanceof Date) fail('time is a Date; expected unix seconds: divide its milliseconds by 1000');
    return Number.isSafeInteger(time) ? BigInt(time) : fail(`time is ${time}; expected unix seconds, a whole number`);
  }

  function row(series) {
    if (rows === 1 && series === undefined) return 0n;
    return Number.isSafeInteger(series) ? BigInt(series) : fail(`series is ${series}; expected 0 to ${rows - 1}`);
  }

  function predictBatch(values, times, { series } = {}) {
    const count = values.length / size;
    if (count % 1) fail(`${values.length} numbers are no whole windows; one has ${size}`);
    const from = checked(values, values.length), all = Array.from({ length: count });
    if (timed && times?.length !== count) fail(`${count} windows need as many times; got ${times?.length}`);
    if (rows > 1 && series?.length !== count) fail(`${count} windows need as many series; got ${series?.length}`);
    const at = all.map((_, i) => seconds(times?.[i])), of = all.map((_, i) => row(series?.[i]));
    const found = output.slice(0, results).map(() => new Float32Array(count * horizon));
    for (let i = 0; i < count; i += block) {
      const some = Math.min(block, count - i);
      floats(input).set(from.subarray(i * size, (i + some) * size));
      whole(when, at.slice(i, i + some));
      whole(which, of.slice(i, i + some));
      api.model_predict_batch(input, when, which, some, ...output);
      found.forEach((to, j) => to.set(floats(output[j], some * horizon), i * horizon));
    }
    return named(found);
  }

  function stream(count = 1, { series } = {}) {
    if (!Number.isInteger(count) || count < 1) fail(`${count} streams; expected 1, 2, ...`);
    if (series?.length >= 0 && series.length !== count) fail(`${count} streams need as many series; got ${series.length}`);
    const state = take(count * each), input = take(4 * count * measured), output = outputs(count);
    function reset() {
      for (let i = 0; i < count; i++) api.model_stream_reset(state + i * each, row(series?.[i] ?? series));
    }
    reset();
    return {
      push(values, time) {
        const at = seconds(time);
        floats(input).set(checked(values, count * measured, 'a push'));
        api.model_stream_push(state, count, input, at, ...output);
        return named(output.slice(0, results).map((from) => floats(from, count * horizon).slice()));
      },
      settle: () => api.model_stream_settle(state, count),
      reset,
    };
  }

  return {
    info, context, measured, horizon, predictBatch, stream,
    predict: (values, time, { series } = {}) =>
      predictBatch(checked(values, size, 'a window'), [time], { series: [series] }),
  };
}

function checked(values, length, what) {
  if (values?.length !== length) fail(`${what} has ${length} numbers; got ${values?.length}`);
  return values instanceof Float32Array ? values : Float32Array.from(values, (x) =>
    typeof x === 'number' ? x : x === null ? NaN : fail(`${typeof x} is no number`));
}
