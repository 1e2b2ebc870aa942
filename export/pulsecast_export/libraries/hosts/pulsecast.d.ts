/** Numbers lie row by row, the oldest step first, in raw units. A step that is NaN (or null, as JSON has it) gives a NaN
 * forecast, for the windows that hold it and no other. */
export type Numbers = ArrayLike<number | null>;

/** Unix seconds (UTC) of a step, for a window of its last one: Math.floor(date.getTime() / 1000). A time beyond the years
 * 1 to 9999, or beyond the holidays that the model knows, gives NaN. */
export type Seconds = number;

/** A row of the model's table of series: 0 is the pool, for a series that training never saw; n is the name on line n of
 * the bundle's series.txt. `info.series` says how many rows there are, and the names if they are few. A row that is not in
 * the table gives NaN. May be left out where the model is of one series. */
export type Row = number;

/** What is wrong with an argument, or why there is no model. */
export class PulsecastError extends Error {}

/** The model in model.wasm, from its bytes or its address, in Node also from the path of its file. It needs WebAssembly SIMD: browsers of 2023, Node 16.4. */
export function load(source: BufferSource | string | URL): Promise<Model>;

/** Forecasts (horizon, or n times that), and their bounds where the model is calibrated. */
export interface Results {
  readonly forecast: Float32Array;
  readonly lower: Float32Array | undefined;
  readonly upper: Float32Array | undefined;
}

export interface Model {
  /** What the model takes and gives, as the header of its C source has it. */
  readonly info: Readonly<Record<string, unknown>>;
  /** Steps of a window, numbers of a step, steps forecast. */
  readonly context: number;
  readonly measured: number;
  readonly horizon: number;

  /** The results for one window (context, measured). `time` may be left out where the model has no calendar. */
  predict(values: Numbers, time?: Seconds, options?: { series?: Row }): Results;

  /** Results (n, horizon) for windows (n, context, measured), with one time and one series for each. */
  predictBatch(values: Numbers, times?: ArrayLike<Seconds>, options?: { series?: ArrayLike<Row> }): Results;

  /** Sliding windows that advance together, `count` of them, of one series or of one each. Their memory goes when the model
   * does: reuse them. */
  stream(count?: number, options?: { series?: Row | ArrayLike<Row> }): Stream;
}

/** Takes one step at a time and forecasts what the whole window would. */
export interface Stream {
  /** Takes steps (count, measured) of one time, gives results (count, horizon): NaN until a window is whole. After a gap
   * in time a window is whole again once it holds no missing step; a time that does not follow gives NaN and changes
   * nothing. */
  push(values: Numbers, time?: Seconds): Results;

  /** Does beforehand what the next push would do first. */
  settle(): void;

  /** Forgets every step. */
  reset(): void;
}
