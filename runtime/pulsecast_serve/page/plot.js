// A series, the range that each step was expected in, the forecast with its interval, and rings around unusual steps.

const PLACES = { left: 60, right: 14, top: 26, bottom: 44 };
const number = new Intl.NumberFormat('en', { maximumSignificantDigits: 5 });

const UNITS = [[604800, 'week'], [86400, 'day'], [3600, 'hour'], [60, 'minute'], [1, 'second']];

/** A step in words: hour, 5 minutes. */
export function every(seconds) {
  const [unit, word] = UNITS.find(([s]) => seconds % s === 0);
  return seconds === unit ? word : `${seconds / unit} ${word}s`;
}

/** What a value of a model is: the name of its first column, and of which step. */
export const unitOf = (model) => `${model.columns?.[0] ?? 'value'}, each ${every(model.step_seconds)}`;

/** Draw into `svg`. `values`, `lower`, `upper` have a number or null for each step; `ahead` has forecast, lower, upper.
 *  `time(i)` is the Date of step i, or null. `odd` are steps. `unit` says what a value is. */
export function plot(svg, { values, lower, upper, ahead, odd, time, unit = 'value' }) {
  const width = svg.clientWidth || 800, height = svg.clientHeight || 300;
  const shown = Math.min(values.length, Math.max(60, Math.floor(width / 4))); // four pixels a step
  const first = values.length - shown, end = values.length + ahead.forecast.length;
  const { left, right, top, bottom } = PLACES;
  const seen = [...values.slice(first), ...ahead.forecast, ...ahead.lower, ...ahead.upper].filter(Number.isFinite);
  let low = Math.min(...seen), high = Math.max(...seen);
  if (!(high > low)) [low, high] = [low - 1, low + 1];
  const x = (i) => left + ((i - first) / Math.max(1, end - 1 - first)) * (width - left - right);
  const y = (v) => top + (1 - (Math.min(Math.max(v, low), high) - low) / (high - low)) * (height - top - bottom);
  const parts = [];
  for (const v of ticks(low, high, height < 260 ? 3 : 4)) {
    parts.push(part('line', { class: 'axis', x1: left, x2: width - right, y1: y(v), y2: y(v) }));
    parts.push(part('text', { x: left - 8, y: y(v) + 4, 'text-anchor': 'end' }, number.format(v)));
  }
  parts.push(part('text', { x: left - 8, y: 12 }, unit));
  parts.push(part('text', { x: width - right, y: height - 6, 'text-anchor': 'end' }, time(first) === null ? 'step' : 'time, UTC'));
  parts.push(...dates(first, end, x, height, width, time));
  parts.push(...areas('band', first, values.length, (i) => lower[i], (i) => upper[i] ?? (Number.isFinite(lower[i]) ? high : null), x, y));
  const last = values.length - 1, at = (list) => (i) => (i === last ? values[last] : list[i - values.length]);
  parts.push(...areas('interval', last, end, at(ahead.lower), at(ahead.upper), x, y));
  parts.push(part('path', { class: 'line actual', d: line(first, values.length, (i) => values[i], x, y) }));
  parts.push(part('path', { class: 'line next', d: line(last, end, at(ahead.forecast), x, y) }));
  ahead.forecast.forEach((v, j) => parts.push(part('circle', { class: 'next', cx: x(values.length + j), cy: y(v), r: ahead.forecast.length > 6 ? 2.5 : 5 })));
  for (const i of odd) if (i >= first && Number.isFinite(values[i])) parts.push(part('circle', { class: 'odd', cx: x(i), cy: y(values[i]), r: 6 }));
  svg.setAttribute('viewBox', `0 0 ${width} ${height}`);
  svg.replaceChildren(...parts);
}

function part(name, attributes, text) {
  const element = document.createElementNS('http://www.w3.org/2000/svg', name);
  for (const [key, v] of Object.entries(attributes)) element.setAttribute(key, String(v));
  if (text !== undefined) element.textContent = text;
  return element;
}

function line(from, to, of, x, y) {
  let path = '', pen = 'M';
  for (let i = from; i < to; i++) {
    const v = of(i);
    if (Number.isFinite(v)) path += `${pen}${x(i).toFixed(1)} ${y(v).toFixed(1)}`;
    pen = Number.isFinite(v) ? 'L' : 'M';
  }
  return path;
}

/** One area for each run of steps that have both bounds. */
function areas(name, from, to, lower, upper, x, y) {
  const found = [];
  let run = [];
  const close = () => {
    if (run.length > 1) {
      const up = run.map((i) => `${x(i).toFixed(1)} ${y(upper(i)).toFixed(1)}`), down = run.map((i) => `${x(i).toFixed(1)} ${y(lower(i)).toFixed(1)}`);
      found.push(part('path', { class: name, d: `M${up.join('L')}L${down.reverse().join('L')}Z` }));
    }
    run = [];
  };
  for (let i = from; i < to; i++) Number.isFinite(lower(i)) && Number.isFinite(upper(i)) ? run.push(i) : close();
  close();
  return found;
}

const ROUND_S = [60, 300, 900, 1800, 3600, 10800, 21600, 43200, 86400, 172800, 604800, 1209600, 2419200];

/** Dates at round times below the axis where there are times, numbers of steps elsewhere; as many as have room. */
function dates(first, end, x, height, width, time) {
  const room = Math.max(2, Math.floor((width - PLACES.left) / 92));
  const label = (i, text) => part('text', { x: x(i), y: height - 26, 'text-anchor': 'middle' }, text);
  const steps = Array.from({ length: end - first }, (_, i) => first + i);
  if (time(first) === null) return ticks(first, end - 1, room).filter(Number.isInteger).map((i) => label(i, String(i)));
  const seconds = (i) => time(i).getTime() / 1000, span = seconds(end - 1) - seconds(first);
  const every = ROUND_S.find((s) => span / s <= room) ?? span / room;
  const round = steps.filter((i) => i > first && Math.floor(seconds(i) / every) !== Math.floor(seconds(i - 1) / every));
  return round.map((i) => label(i, time(i).toISOString().slice(5, every < 86400 ? 16 : 10).replace('T', ' ')));
}

/** Round numbers between `low` and `high`, about `count`. */
function ticks(low, high, count) {
  const raw = (high - low) / count, power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((k) => k * power).find((s) => s >= raw);
  const found = [];
  for (let i = Math.ceil(low / step); i * step <= high; i++) found.push(Number((i * step).toPrecision(12)));
  return found;
}
