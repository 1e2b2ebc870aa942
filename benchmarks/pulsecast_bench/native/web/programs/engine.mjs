// One engine, asked by messages: `first` opens it and forecasts one window; then `check` and `turn`, as asking.py sends them.

const LEAST_MS = 1; // of what is timed at once: the clock of a page ticks every 5 us

const OPEN = {
  async pulsecast({ module, model }) {
    const { load } = await import(module);
    const loaded = await load(model);
    return (values, time) => loaded.predict(values, time).forecast;
  },

  async 'onnxruntime-web'({ module, model, shape, timed }) {
    const ort = await import(module);
    ort.env.wasm.numThreads = 1;
    const session = await ort.InferenceSession.create(model, { executionProviders: ['wasm'] });
    return async (values, time) => {
      const given = { values: new ort.Tensor('float32', values, [1, ...shape]) };
      if (timed) given.time = new ort.Tensor('int64', BigInt64Array.of(BigInt(time)), [1]);
      return (await session.run(given)).forecast.data;
    };
  },
};

let forecast, windows, at = 0, together = 1; // the window of the last call; calls that are timed at once

const ANSWERS = {
  async first({ engine, window, time }) {
    forecast = await OPEN[engine.kind](engine);
    const found = await forecast(Float32Array.from(window), time ?? undefined); // null: a model without a calendar
    return { ms: performance.now(), forecast: Array.from(found) }; // since the process, or the page, began
  },

  // All windows that turns will take, one a call.
  async check({ values, times }) {
    windows = values.map((one, i) => [Float32Array.from(one), times?.[i]]);
    const found = [];
    for (const [one, time] of windows) found.push(Array.from(await forecast(one, time)));
    return { forecasts: found };
  },

  // Microseconds a call of each group of calls in `seconds`, and the last window with its forecast.
  async turn({ seconds }) {
    const until = performance.now() + 1000 * seconds, us = [];
    let found;
    while (us.length < 3 || performance.now() < until) {
      const began = performance.now();
      for (let i = 0; i < together; i++) {
        at = (at + 1) % windows.length;
        found = await forecast(...windows[at]);
      }
      const took = performance.now() - began;
      if (took < LEAST_MS) together *= 2;
      else us.push((1000 * took) / together);
    }
    return { us, window: at, forecast: Array.from(found) };
  },
};

// The answer to a message, both as JSON.
export async function answer(message) {
  const { ask, ...given } = JSON.parse(message);
  try {
    return JSON.stringify(await ANSWERS[ask](given));
  } catch (error) {
    return JSON.stringify({ error: String(error?.message ?? error) });
  }
}
