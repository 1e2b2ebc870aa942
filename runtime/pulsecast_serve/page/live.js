// A series as it happens: steps come by server-sent events, and are drawn with the forecast of the last one.
// The stream is read with fetch, not EventSource: a key travels in a header, never in an address.
import { plot, unitOf } from './plot.js';

const $ = (id) => document.getElementById(id);
const KEPT = 400, AGAIN_MS = 2000;
const number = new Intl.NumberFormat('en', { maximumSignificantDigits: 5 });
const show = (v) => (Number.isFinite(v) ? number.format(v) : 'none');
const utc = (seconds) => new Date(seconds * 1000).toISOString().slice(0, 16).replace('T', ' ');
const WHY = { level: 'its level', step: 'not expected after the steps before it', stuck: 'it stands still', cycle: 'it repeats a cycle' };
let points = [], stop = null, model = null, draw = () => {};

/** Make the choice of what is followed. `models` are those of the server; `ask` and `headers` know its key. */
export async function offer(models, ask, headers) {
  const kept = [];
  for (const one of models) {
    const said = await ask(`v1/streams/${encodeURIComponent(one.name)}`).catch(() => null);
    if (said) kept.push({ ...one, names: said.series });
  }
  $('live').hidden = kept.length === 0;
  if (!kept.length) return;
  $('live-model').replaceChildren(...kept.map((one) => new Option(one.name)));
  const choose = () => {
    model = kept[$('live-model').selectedIndex];
    $('live-names').replaceChildren(...model.names.map((name) => new Option(name)));
    if (!$('live-series').value) $('live-series').value = model.names[0] ?? model.series?.first[0] ?? '';
  };
  $('live-model').onchange = () => { $('live-series').value = ''; choose(); };
  $('watch').onclick = () => { location.hash = `#${encodeURIComponent(model.name)}/${encodeURIComponent($('live-series').value)}`; };
  const open = () => {
    const [name, series] = location.hash.slice(1).split('/').map(decodeURIComponent);
    const place = kept.findIndex((one) => one.name === name);
    if (place < 0 || !series) return;
    $('live-model').selectedIndex = place;
    $('live-series').value = series;
    choose();
    follow(model, series, headers);
  };
  window.onhashchange = open;
  choose();
  if (location.hash) open();
  else if (kept.length === 1 && model.names.length === 1) follow(model, model.names[0], headers);
}

async function follow(one, series, headers) {
  stop?.abort();
  const control = stop = new AbortController();
  points = [];
  $('live-shown').hidden = true;
  while (!control.signal.aborted) {
    const said = await read(one, series, headers, control.signal).catch((error) => error);
    if (control.signal.aborted) return;
    if (said?.refused) return state(said.message);
    state(`The server does not answer; asking again. ${points.length ? `What is drawn ends at ${utc(points.at(-1).time)}.` : ''}`);
    await new Promise((done) => setTimeout(done, AGAIN_MS));
  }
}

/** Read steps until the connection ends; it goes on after the last step that is known. */
async function read(one, series, headers, signal) {
  const path = `v1/streams/${encodeURIComponent(one.name)}/${encodeURIComponent(series)}/live`;
  const after = points.length ? { 'last-event-id': String(points.at(-1).time) } : {};
  const answer = await fetch(path, { headers: { ...headers(), ...after }, signal });
  if (!answer.ok) {
    const said = await answer.json().catch(() => ({}));
    throw Object.assign(new Error(said.error?.message ?? `the server answers ${answer.status}`), { refused: answer.status < 500 && answer.status !== 429 });
  }
  if (!points.length) state(`Following ${series}; nothing has come yet.`);
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = '';
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    text += value;
    const parts = text.split('\n\n');
    text = parts.pop();
    if (parts.filter((part) => take(part)).length) shown(one, series);
  }
}

function take(part) {
  const kind = /^event: (.*)$/m.exec(part)?.[1], data = /^data: (.*)$/m.exec(part)?.[1];
  if (kind === 'anew') points = [];
  if (kind !== 'step') return false;
  points = [...points, JSON.parse(data)].slice(-KEPT);
  return true;
}

const state = (text) => { $('live-state').textContent = text; };

/** Steps on their grid, with null where none came. */
function grid(step) {
  const first = points[0].time, count = Math.min(KEPT * 2, Math.round((points.at(-1).time - first) / step) + 1);
  const start = points.at(-1).time - (count - 1) * step, found = Array.from({ length: count }, () => null);
  for (const one of points) if (one.time >= start) found[Math.round((one.time - start) / step)] = one;
  return { start, found };
}

function shown(one, series) {
  const step = one.step_seconds, { start, found } = grid(step), last = points.at(-1);
  const bound = (name) => found.map((_, i) => found[i - 1]?.interval?.[name][0] ?? null);
  const ahead = { forecast: last.forecast ?? [], lower: last.interval?.lower ?? [], upper: last.interval?.upper ?? [] };
  const alarms = points.filter((point) => point.anomaly?.alarm);
  $('live-shown').hidden = false;
  draw = () => plot($('live-plot'), {
    values: found.map((point) => point?.values?.[0] ?? null), lower: bound('lower'), upper: bound('upper'), ahead,
    odd: alarms.map((point) => Math.round((point.time - start) / step)).filter((i) => i >= 0),
    time: (i) => new Date((start + i * step) * 1000), unit: unitOf(one),
  });
  draw();
  const level = last.interval ? ` (${number.format(100 * last.interval.level)} %: ${show(last.interval.lower[0])} to ${show(last.interval.upper[0])})` : '';
  const next = last.forecast ? `${utc(last.time + step)} UTC: ${show(last.forecast[0])} expected${level}.` : `No forecast: ${last.no_forecast ?? 'the window is not whole'}.`;
  state(`Following ${series}: ${utc(last.time)} UTC was ${show(last.values?.[0])}.`);
  $('live-summary').textContent = `${next} ${alarms.length} ${alarms.length === 1 ? 'alarm' : 'alarms'} seen in ${points.length} steps.`;
  $('live-plot').setAttribute('aria-label', `${series}, ${points.length} steps up to ${utc(last.time)} UTC. ${next}`);
  $('live-alarms').hidden = alarms.length === 0;
  $('live-alarms').querySelector('tbody').replaceChildren(...alarms.slice(-20).reverse().map((point) => {
    const row = document.createElement('tr');
    for (const text of [utc(point.time), show(point.anomaly.value), show(point.anomaly.expected), WHY[point.anomaly.reason] ?? '']) row.insertCell().textContent = text;
    return row;
  }));
}

new ResizeObserver(() => draw()).observe($('live-plot'));
