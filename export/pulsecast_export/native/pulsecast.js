/**
 * The forecaster of model.wasm. Raw units in and out; numbers lie row by row, the oldest step first.
 * A step that is NaN (or null, as JSON has it) gives a NaN forecast, for the windows that hold it and no other.
 * @typedef {ArrayLike<number | null>} Numbers
 */
export class PulsecastError extends Error {}

/**
 * The model in model.wasm, from its bytes or its address. It needs WebAssembly SIMD: browsers of 2023, Node 16.4.
 * @param {BufferSource | string | URL} source
 * @returns {Promise<Model>}
 */
export async function load(source) {
  let bytes = source;
  if (typeof source === 'string' || source instanceof URL) {
    const answer = await fetch(source);
    if (!answer.ok) throw new PulsecastError(`${source}: the server answers ${answer.status}`);
    bytes = await answer.arrayBuffer();
  }
  let instance;
  try {
    ({ instance } = await WebAssembly.instantiate(bytes));
  } catch (error) {
    throw new PulsecastError(`no model that runs here (it needs WebAssembly SIMD): ${error.message}`);
  }
  const failed = instance.exports.model_selftest?.() ?? 'all';
  if (failed) throw new PulsecastError(`the self-test failed on ${failed} windows: not this model, or not here`);
  return new Model(instance.exports);
}

const BLOCK = 64; // windows that are copied into the module at once

class Model {
  #api; #free; #input; #output;
  /** @param {any} api what the module exports */
  constructor(api) {
    this.#api = api;
    this.#free = api.__heap_base.value;
    [this.context, this.features, this.horizon] = [2, 3, 4].map((which) => api.model_info(which));
    this.#input = this.#take(4 * BLOCK * this.context * this.features);
    this.#output = this.#take(4 * BLOCK * this.horizon);
  }

  /** The forecast (horizon) of one window (context, features). @param {Numbers} window @returns {Float32Array} */
  predict(window) {
    return this.predictBatch(checked(window, this.context * this.features, 'a window'));
  }

  /** Forecasts (n, horizon) of windows (n, context, features). @param {Numbers} windows @returns {Float32Array} */
  predictBatch(windows) {
    const size = this.context * this.features, count = windows.length / size;
    if (!Number.isInteger(count)) {
      throw new PulsecastError(`${windows.length} numbers are no whole windows; one has ${size}`);
    }
    const from = checked(windows, count * size, 'windows'), forecasts = new Float32Array(count * this.horizon);
    for (let at = 0; at < count; at += BLOCK) {
      const some = Math.min(BLOCK, count - at);
      this.#floats(this.#input, some * size).set(from.subarray(at * size, (at + some) * size));
      this.#api.model_predict_batch(this.#input, some, this.#output);
      forecasts.set(this.#floats(this.#output, some * this.horizon), at * this.horizon);
    }
    return forecasts;
  }

  /**
   * Sliding windows that take one step at a time and forecast what the whole window would. `push` takes steps (count,
   * features) and gives forecasts (count, horizon), NaN until a window is whole; `settle` does beforehand what the next
   * push would do first; `reset` forgets every step. Their memory goes when the model does: reuse them.
   * @param {number} [count] streams that advance together
   */
  stream(count = 1) {
    if (!Number.isInteger(count) || count < 1) throw new PulsecastError(`${count} streams; expected 1 or more`);
    const api = this.#api, each = api.model_info(1), size = count * this.features;
    const state = this.#take(count * each), input = this.#take(4 * size), output = this.#take(4 * count * this.horizon);
    const reset = () => {
      for (let i = 0; i < count; i++) api.model_stream_reset(state + i * each);
    };
    reset();
    return {
      /** @param {Numbers} steps @returns {Float32Array} */
      push: (steps) => {
        this.#floats(input, size).set(checked(steps, size, 'a push'));
        api.model_stream_push(state, count, input, output);
        return this.#floats(output, count * this.horizon).slice();
      },
      settle: () => api.model_stream_settle(state, count),
      reset,
    };
  }

  #floats(at, length) {
    return new Float32Array(this.#api.memory.buffer, at, length);
  }

  #take(bytes) {
    const at = Math.ceil(this.#free / 64) * 64, { memory } = this.#api;
    this.#free = at + bytes;
    const missing = this.#free - memory.buffer.byteLength;
    if (missing > 0) memory.grow(Math.ceil(missing / 65536));
    return at;
  }
}

/** @returns {Float32Array} */
function checked(values, length, what) {
  if (values?.length !== length) throw new PulsecastError(`${what} has ${length} numbers; got ${values?.length}`);
  if (values instanceof Float32Array) return values;
  return Float32Array.from(values, (value) => {
    if (value !== null && typeof value !== 'number') throw new PulsecastError(`${typeof value} is no number`);
    return value ?? NaN;
  });
}
