// What is served here, and a box to try it: every number comes from this server.
import { offer } from './live.js';
import { every, plot, unitOf } from './plot.js';

const $ = (id) => document.getElementById(id);
const number = new Intl.NumberFormat('en', { maximumSignificantDigits: 5 });
const show = (v) => (Number.isFinite(v) ? number.format(v) : 'none');
// words of the time-series API; other steps are said in seconds beside "S"
const FREQUENCIES = { 1: 'S', 60: 'T', 3600: 'H', 86400: 'D', 604800: 'W' };
const WHY = { level: 'its level', step: 'not expected after the steps before it', stuck: 'it stands still', cycle: 'it repeats a cycle' };
let key = '', models = [], drawn = () => {};

const withKey = () => (key ? { authorization: `Bearer ${key}` } : {});

async function ask(path, body) {
  const headers = withKey();
  const answer = await fetch(path, body === undefined ? { headers } : { method: 'POST', headers, body: JSON.stringify(body) });
  const said = await answer.json().catch(() => ({}));
  if (answer.ok) return said;
  const error = new Error(said.error?.message ?? `the server answers ${answer.status}`);
  throw Object.assign(error, { status: answer.status });
}

async function begin() {
  let said;
  try {
    said = await ask('v1/timeseries/models');
    models = said.models;
  } catch (error) {
    if (error.status !== 401) throw error;
    $('locked').hidden = false;
    $('state').textContent = key ? 'The key is unknown.' : '';
    return;
  }
  $('locked').hidden = true;
  $('state').textContent = models.length === 0 ? 'No model is loaded yet.' : `${models.length} ${models.length === 1 ? 'model is' : 'models are'} ready.`;
  $('models').querySelector('tbody').replaceChildren(...models.map((one) => row([
    one.name,
    Object.entries(one.labels).map(([label, version]) => `${version} ${label}`).join(', '),
    `${one.artifact}, ${one.engine}`,
    `${one.context} steps, one every ${every(one.step_seconds)}${one.series ? `; ${one.series.count} series` : ''}`,
    `${one.horizon} ${one.horizon === 1 ? 'step' : 'steps'} ahead${one.interval_level ? `, ${number.format(100 * one.interval_level)} % interval` : ''}`,
    errors(one.heldout),
  ])));
  $('model').replaceChildren(...models.map((one) => new Option(one.name)));
  $('models').hidden = $('try').hidden = models.length === 0;
  choose();
  if (said.streams) await offer(models, ask, withKey);
}

function row(cells) {
  const found = document.createElement('tr');
  for (const text of cells) found.insertCell().textContent = text;
  return found;
}

function errors(heldout) {
  const mae = { ...heldout.mae }, own = mae.model;
  const last = mae.last_value;
  const windows = `over ${heldout.windows.toLocaleString('en')} windows`;
  return own === undefined ? '' : `MAE ${show(own)}${last ? `, last value ${show(last)}` : ''}, ${windows}`;
}

function choose() {
  const one = chosen();
  if (!one) return;
  $('name-field').hidden = !one.series;
  $('start-field').hidden = !one.takes_start_timestamp;
  $('names').replaceChildren(...(one.series?.first ?? []).map((name) => new Option(name)));
  $('name').value = one.series?.first[0] ?? '';
  if (!$('start').value) $('start').value = new Date(Math.floor(Date.now() / 864e5 - 15) * 864e5).toISOString().slice(0, 19) + 'Z';
}

const chosen = () => models[$('model').selectedIndex];

/** Return the numbers in the box, null for a missing one; throws a sentence. */
function values() {
  const words = $('values').value.split(/[\s,;]+/).filter(Boolean);
  return words.map((word, i) => {
    if (/^(null|nan|na)$/i.test(word)) return null;
    const v = Number(word);
    if (!Number.isFinite(v)) throw new Error(`value ${i + 1} is "${word.slice(0, 40)}"; expected a number, or null`);
    return v;
  });
}

async function answer() {
  const model = chosen(), series = values();
  const word = FREQUENCIES[model.step_seconds];
  const said = { series, frequency: word ?? 'S', ...(word ? {} : { step_seconds: model.step_seconds }), ...(model.series ? { name: $('name').value } : {}), ...(model.takes_start_timestamp ? { start_timestamp: $('start').value.trim() } : {}) };
  const [forecast, judged] = await Promise.all([
    ask('v1/timeseries/forecast', { model: model.name, inputs: [{ type: 'univariate_time_series', ...said }] }),
    ask('v1/anomalies', { model: model.name, ...said }),
  ]);
  const content = forecast.outputs[0].content[0];
  const ahead = { forecast: content.mean_forecast, lower: content.interval?.lower ?? [], upper: content.interval?.upper ?? [] };
  const start = model.takes_start_timestamp ? Date.parse($('start').value.trim()) : NaN;
  const time = (i) => (Number.isFinite(start) ? new Date(start + i * model.step_seconds * 1000) : null);
  $('answer').hidden = false;
  drawn = () => plot($('plot'), { values: series, lower: judged.lower, upper: judged.upper, ahead, odd: judged.anomalies.map((one) => one.step), time, unit: unitOf(model) });
  drawn();
  fill(series, ahead, judged, content, time);
}

function fill(series, ahead, judged, content, time) {
  const when = (i) => time(i)?.toISOString().slice(0, 16).replace('T', ' ') ?? String(i);
  const far = content.outside_training_range ? ' The values lie far outside what training saw: do not trust this forecast.' : '';
  const odd = judged.judged === 0
    ? 'No step could be judged: the series is too short for this false-alarm rate.'
    : `${judged.anomalies.length} of ${judged.judged} judged steps are unusual.`;
  $('summary').textContent = `${odd}${far}`;
  $('summary').classList.toggle('far', content.outside_training_range);
  $('plot').setAttribute('aria-label', `${series.length} steps, then the forecast ${ahead.forecast.map(show).join(', ')}. ${odd}`);
  $('steps').querySelector('tbody').replaceChildren(...ahead.forecast.map((v, j) => row([String(j + 1), when(series.length + j), show(v), show(ahead.lower[j]), show(ahead.upper[j])])));
  $('odd').hidden = judged.anomalies.length === 0;
  $('odd').querySelector('tbody').replaceChildren(...judged.anomalies.map((one) => row([when(one.step), show(one.value), show(one.forecast), WHY[one.reason] ?? ''])));
}

/** A made-up series with a daily wave around the middle of training's range, and a burst. */
function sample() {
  const model = chosen(), day = Math.max(4, Math.round(86400 / model.step_seconds)), count = Math.max(model.context + 1, Math.min(14 * day, 400));
  const [low, high] = model.training_range, middle = low + 0.3 * (high - low);
  $('values').value = Array.from({ length: count }, (_, i) => {
    const wave = 1 + 0.35 * Math.sin((2 * Math.PI * i) / day) + 0.06 * Math.sin(i * 12.9898) + (i === count - Math.round(day / 2) ? 1.2 : 0);
    return Math.max(0, Math.round(middle * wave));
  }).join(' ');
}

async function guarded(work) {
  $('error').hidden = true;
  $('go').disabled = true;
  try {
    await work();
  } catch (error) {
    $('error').textContent = error.message;
    $('error').hidden = false;
  } finally {
    $('go').disabled = false;
  }
}

$('locked').addEventListener('submit', (event) => { event.preventDefault(); key = $('key').value; guarded(begin); });
$('try').addEventListener('submit', (event) => { event.preventDefault(); guarded(answer); });
$('sample').addEventListener('click', sample);
$('model').addEventListener('change', choose);
new ResizeObserver(() => drawn()).observe($('plot'));
guarded(begin);
