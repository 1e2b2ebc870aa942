// The forecaster of model.wasm: see pulsecast.d.ts
export class PulsecastError extends Error {}

function fail(text) {
  throw new PulsecastError(text);
}

export async function load(source) {
  if (source?.byteLength == null) {
    const answer = await fetch(source);
    if (!answer.ok) fail(`${source}: the server answers ${answer.status}`);
    source = await answer.arrayBuffer();
  }
  const { instance: { exports: api } } = await WebAssembly.instantiate(source).catch(({ message }) =>
    fail(`no model that runs here (it needs WebAssembly SIMD): ${message}`));
  if (api.model_selftest?.() !== 0) fail('the self-test failed: not this model, or not here');
  return model(api);
}

function model(api) {
  const [each, context, features, horizon] = [1, 2, 3, 4].map(api.model_info);
  const size = context * features, block = 64; // windows at once
  let free = api.__heap_base.value;

  function take(count) {
    const at = free;
    api.memory.grow(Math.max(0, Math.ceil((at + 4 * count - api.memory.buffer.byteLength) / 65536)));
    free += 4 * count;
    return at;
  }

  const floats = (at, length) => new Float32Array(api.memory.buffer, at, length);
  const input = take(block * size), output = take(block * horizon);

  function predictBatch(windows) {
    const count = windows.length / size;
    if (count % 1) fail(`${windows.length} numbers are no whole windows; one has ${size}`);
    const found = new Float32Array(count * horizon), from = checked(windows, windows.length);
    for (let at = 0; at < count; at += block) {
      const part = from.subarray(at * size, (at + block) * size), some = part.length / size;
      floats(input).set(part);
      api.model_predict_batch(input, some, output);
      found.set(floats(output, some * horizon), at * horizon);
    }
    return found;
  }

  function stream(count = 1) {
    if (!Number.isInteger(count) || count < 1) fail(`${count} streams; expected 1, 2, ...`);
    const steps = count * features, length = count * horizon;
    const [state, input, output] = [count * each / 4, steps, length].map(take);
    function reset() {
      for (let at = state; at < input; at += each) api.model_stream_reset(at);
    }
    reset();
    return {
      push(values) {
        floats(input).set(checked(values, steps, 'a push'));
        api.model_stream_push(state, count, input, output);
        return floats(output, length).slice();
      },
      settle: () => api.model_stream_settle(state, count),
      reset,
    };
  }

  return {
    context, features, horizon, predictBatch, stream,
    predict: (window) => predictBatch(checked(window, size, 'a window')),
  };
}

function checked(values, length, what) {
  if (values?.length !== length) fail(`${what} has ${length} numbers; got ${values?.length}`);
  return values instanceof Float32Array ? values : Float32Array.from(values, (x) =>
    typeof x === 'number' ? x : x === null ? NaN : fail(`${typeof x} is no number`));
}
