// A series, and the model's forecast at the slider's position, computed here by model.wasm.
import { load } from './pulsecast.js';

const $ = (id) => document.getElementById(id);
const number = new Intl.NumberFormat('en', { maximumSignificantDigits: 5 });
const show = (values) => Array.from(values, (value) => (Number.isFinite(value) ? number.format(value) : 'none')).join(', ');
const STEPS_WIDE = 240, STEPS_NARROW = 110, NARROW_PX = 560; // steps in view

/** @typedef {{name: string, feature: string, step: string, step_s: number, start: number | null, columns: number, rows: (number | null)[],
 *   log: boolean, golden: {end: number, forecast: number[]}[], limit: number, range: number}} Series */

async function begin() {
  const [model, answer] = await Promise.all([load('model.wasm'), fetch('series.json')]);
  if (!answer.ok) throw new Error(`series.json: the server answers ${answer.status}`);
  /** @type {Series} */
  const series = await answer.json();
  const rows = Float32Array.from(series.rows, (value) => value ?? NaN);
  const steps = rows.length / series.columns;
  const value = (step) => (step < steps ? rows[step * series.columns] : NaN);
  const time = (end) => (series.start === null ? undefined : series.start + (end - 1) * series.step_s); // of the last of `end` steps
  const predict = (end) => model.predict(rows.subarray((end - model.context) * series.columns, end * series.columns), time(end)).forecast;
  const stream = model.stream();
  /** forecasts (steps, horizon): row i is the forecast after step i */
  const forecasts = Array.from({ length: steps }, (_, i) => stream.push(rows.subarray(i * series.columns, (i + 1) * series.columns), time(i + 1)).forecast);

  document.title = `${series.name}: forecasts`;
  $('name').textContent = series.name;
  $('about').textContent = `${series.feature}, a step every ${series.step}. Every forecast is computed in this browser from the last ${model.context} steps.${series.start === null ? '' : ' Times are UTC.'}`;
  check(series, predict);

  const at = /** @type {HTMLInputElement} */ ($('at'));
  at.min = String(model.context);
  at.max = String(steps);
  const wanted = Number.parseInt(location.hash.slice(1), 10);
  at.value = String(Number.isInteger(wanted) ? wanted : Math.round((model.context + steps) / 2));

  function draw() {
    const end = Number(at.value), began = performance.now();
    const forecast = predict(end);
    const took = performance.now() - began;
    const came = Array.from(forecast, (_, j) => value(end + j));
    $('step').textContent = `${end} of ${steps}`;
    if (series.start !== null) $('when').textContent = `, ${moment(time(end), series.step_s)}`;
    $('forecast').textContent = show(forecast);
    $('forecast').dataset.values = JSON.stringify(Array.from(forecast));
    $('truth').textContent = end < steps ? show(came) : 'not known yet';
    $('last').textContent = show([value(end - 1)]);
    $('took').textContent = took < 0.1 ? 'under 0.1 ms' : `${took.toFixed(1)} ms`;
    at.setAttribute('aria-valuetext', `after step ${end}: forecast ${show(forecast)}`);
    $('plot').setAttribute('aria-label', `${series.feature} up to step ${end}, then the forecast ${show(forecast)}`);
    plot(end, forecast);
  }

  function plot(end, forecast) {
    const svg = $('plot'), width = svg.clientWidth || 800, height = svg.clientHeight || 300;
    const view = Math.min(steps + model.horizon, width < NARROW_PX ? STEPS_NARROW : STEPS_WIDE);
    const first = Math.max(0, Math.min(end - Math.round(view * 0.7), steps + model.horizon - view));
    const last = first + view;
    const seen = [];
    for (let i = first; i < last; i++) if (Number.isFinite(value(i))) seen.push(value(i));
    let low = Math.min(...seen, ...forecast), high = Math.max(...seen, ...forecast);
    if (!(high > low)) [low, high] = [low - 1, low + 1];
    const left = 56, right = 12, top = 12, bottom = 28;
    const x = (step) => left + ((step - first) / Math.max(1, view - 1)) * (width - left - right);
    // a model of logarithms gets a logarithmic axis: on a linear one a single burst would flatten all the rest
    const drawn = series.log ? (v) => Math.sign(v) * Math.log1p(Math.abs(v)) : (v) => v;
    const y = (v) => top + (1 - (drawn(v) - drawn(low)) / (drawn(high) - drawn(low))) * (height - top - bottom);
    const line = (from, to, of) => {
      let path = '', pen = 'M';
      for (let i = Math.max(first, from); i < Math.min(last, to); i++) {
        const v = of(i);
        if (Number.isFinite(v)) path += `${pen}${x(i).toFixed(1)} ${y(v).toFixed(1)}`;
        pen = Number.isFinite(v) ? 'L' : 'M';
      }
      return path;
    };
    const part = (name, attributes, text) => {
      const element = document.createElementNS('http://www.w3.org/2000/svg', name);
      for (const [key, v] of Object.entries(attributes)) element.setAttribute(key, String(v));
      if (text !== undefined) element.textContent = text;
      return element;
    };
    const from = x(Math.max(first, end - model.context));
    const parts = [part('rect', { class: 'band', x: from, y: top, width: x(end - 1) - from, height: height - top - bottom })];
    for (const v of series.log ? powers(low, high) : ticks(low, high)) {
      parts.push(part('line', { class: 'axis', x1: left, x2: width - right, y1: y(v), y2: y(v) }));
      parts.push(part('text', { x: left - 8, y: y(v) + 4, 'text-anchor': 'end' }, number.format(v)));
    }
    for (const { at, text } of apart(labels(first, last, series, Math.floor((width - left) / 84)), x, width)) {
      parts.push(part('text', { class: 'at', x: x(at), y: height - 6, 'text-anchor': 'middle' }, text));
    }
    const past = (i) => (i - 1 < end && i > 0 && i <= steps ? forecasts[i - 1][0] : NaN);
    const next = (i) => (i < end ? value(i) : forecast[i - end]);
    parts.push(part('path', { class: 'later', d: line(end - 1, steps, value) }));
    parts.push(part('path', { class: 'past', d: line(0, end + 1, past) }));
    parts.push(part('path', { class: 'actual', d: line(0, end, value) }));
    parts.push(part('path', { class: 'next', d: line(end - 1, end + forecast.length, next) }));
    forecast.forEach((v, j) => Number.isFinite(v) && parts.push(part('circle', { cx: x(end + j), cy: y(v), r: 5 })));
    svg.setAttribute('viewBox', `0 0 ${width} ${height}`);
    svg.replaceChildren(...parts);
  }

  let timer = 0;
  const stop = () => {
    clearInterval(timer);
    timer = 0;
    $('play').textContent = 'Play';
  };
  $('play').addEventListener('click', () => {
    if (timer) return stop();
    if (at.value === at.max) at.value = at.min;
    $('play').textContent = 'Stop';
    timer = setInterval(() => {
      at.value = String(Number(at.value) + 1);
      draw();
      if (at.value === at.max) stop();
    }, 120);
  });
  at.addEventListener('input', () => (stop(), draw()));
  $('work').hidden = false;
  new ResizeObserver(draw).observe($('plot'));
  draw();
}

/** Show the comparison with the bundle's reference forecasts. */
function check(series, predict) {
  let most = 0;
  const rows = series.golden.map(({ end, forecast }) => {
    const here = Array.from(predict(end));
    most = Math.max(most, ...here.map((v, j) => (Number.isFinite(v) ? Math.abs(v - forecast[j]) : Infinity)));
    const row = document.createElement('tr');
    row.dataset.end = String(end);
    row.dataset.here = JSON.stringify(here);
    row.append(...[String(end), show(forecast), show(here)].map((text) => {
      const cell = document.createElement('td');
      cell.textContent = text;
      return cell;
    }));
    return row;
  });
  const verdict = most / series.range <= series.limit ? 'as the reference' : 'NOT as the reference';
  const relative = (v) => v.toExponential(1);
  $('check').querySelector('summary').textContent =
    `${rows.length} held-out windows forecast ${verdict}: largest difference ${relative(most / series.range)} of the range, limit ${relative(series.limit)}`;
  $('check').querySelector('tbody').replaceChildren(...rows);
}

const ROUND_S = [60, 300, 900, 1800, 3600, 10800, 21600, 43200, 86400, 172800, 604800, 1209600, 2419200, 7862400, 31449600];
const utc = (options) => new Intl.DateTimeFormat('en-GB', { timeZone: 'UTC', ...options });
const DAY = utc({ day: 'numeric', month: 'short' }), YEAR = utc({ day: 'numeric', month: 'short', year: 'numeric' });
const CLOCK = utc({ hour: '2-digit', minute: '2-digit' });
const moment = (seconds, step_s) => YEAR.format(seconds * 1000) + (step_s % 86400 ? ` ${CLOCK.format(seconds * 1000)}` : '');

/** Where to write what below the axis: about `room` round times of steps `first` to `last`, or their numbers. */
function labels(first, last, { start, step_s }, room) {
  if (start === null) return ticks(first, last - 1, room).filter(Number.isInteger).map((at) => ({ at, text: String(at) }));
  const seconds = (i) => start + i * step_s;
  const every = ROUND_S.find((s) => (last - first) * step_s / s <= room) ?? ROUND_S.at(-1);
  const round = (i) => Math.floor(seconds(i) / every);
  const steps = Array.from({ length: last - first }, (_, i) => first + i);
  return steps.filter((i) => round(i) !== round(i - 1)).map((at, i) => ({ at, text: tick(seconds(at), every, i === 0) }));
}

/** A day, or where days have several labels the hour within one; the first one says of which day it is. */
function tick(seconds, every, isFirst) {
  const date = new Date(seconds * 1000);
  if (every >= 31449600 / 4) return YEAR.format(date);
  if (every >= 86400 || seconds % 86400 === 0) return DAY.format(date);
  return isFirst ? `${DAY.format(date)} ${CLOCK.format(date)}` : CLOCK.format(date);
}

/** The labels that neither leave the picture nor touch the one before. */
function apart(found, x, width) {
  let end = 0;
  return found.filter(({ at, text }) => {
    const half = text.length * 3.7; // of 13 px text
    if (x(at) - half < end || x(at) + half > width) return false;
    end = x(at) + half + 8;
    return true;
  });
}

/** Powers of ten between `low` and `high`, or round numbers if there are fewer than two. */
function powers(low, high) {
  const found = Array.from({ length: 16 }, (_, i) => 10 ** (i - 3)).filter((v) => v >= low && v <= high);
  return found.length > 1 ? found : ticks(low, high);
}

/** Round numbers between `low` and `high`, about `count`. */
function ticks(low, high, count = 4) {
  const raw = (high - low) / count, power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((k) => k * power).find((s) => s >= raw);
  const found = [];
  for (let i = Math.ceil(low / step); i * step <= high; i++) found.push(Number((i * step).toPrecision(12)));
  return found;
}

begin().catch((error) => {
  $('error').textContent = `No forecasts: ${error.message}`;
  $('error').hidden = false;
});
