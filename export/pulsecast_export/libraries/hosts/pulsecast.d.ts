/** Numbers lie row by row, the oldest step first, in raw units. A step that is NaN (or null, as JSON has it) gives a NaN
 * forecast, for the windows that hold it and no other. */
export type Numbers = ArrayLike<number | null>;

/** What is wrong with an argument, or why there is no model. */
export class PulsecastError extends Error {}

/** The model in model.wasm, from its bytes or its address. It needs WebAssembly SIMD: browsers of 2023, Node 16.4. */
export function load(source: BufferSource | string | URL): Promise<Model>;

export interface Model {
  /** Steps of a window, numbers of a step, steps forecast. */
  readonly context: number;
  readonly features: number;
  readonly horizon: number;

  /** The forecast (horizon) of one window (context, features). */
  predict(window: Numbers): Float32Array;

  /** Forecasts (n, horizon) of windows (n, context, features). */
  predictBatch(windows: Numbers): Float32Array;

  /** Sliding windows that advance together, `count` of them. Their memory goes when the model does: reuse them. */
  stream(count?: number): Stream;
}

/** Takes one step at a time and forecasts what the whole window would. */
export interface Stream {
  /** Takes steps (count, features), gives forecasts (count, horizon): NaN until a window is whole. */
  push(steps: Numbers): Float32Array;

  /** Does beforehand what the next push would do first. */
  settle(): void;

  /** Forgets every step. */
  reset(): void;
}
