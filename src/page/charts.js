// Charts: SVG in the size of their host, with real text. A chart is an image; its accessible name has its main numbers.
import { svg } from './dom.js';

const LEFT = 48;
const RIGHT = 12;
const TOP = 14;
const BOTTOM = 22;

// Four to five round values from 0 to at least `max`.
function linearScale(max) {
  const rough = Math.max(max, 1) / 4;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = Math.max(
    1,
    [1, 2, 2.5, 5, 10].map((factor) => factor * power).find((size) => size >= rough),
  );
  const top = Math.ceil(Math.max(max, 1) / step) * step;
  const ticks = [];
  for (let value = 0; value <= top; value += step) ticks.push(value);
  return { ticks, part: (value) => value / top };
}

// Powers of ten around the values: delays differ by orders of magnitude.
export function logScale(min, max) {
  const low = Math.floor(Math.log10(Math.max(min, 1e-4)));
  const high = Math.max(low + 1, Math.ceil(Math.log10(Math.max(max, 1e-4))));
  const ticks = [];
  for (let power = low; power <= high; power += 1) ticks.push(10 ** power);
  return { ticks, part: (value) => Math.max(0, (Math.log10(Math.max(value, 1e-9)) - low) / (high - low)) };
}

// The axes. `xTicks`: [position from 0 to 1, text].
function frame(host, { label, scale, yText, xTicks }) {
  const width = Math.max(240, Math.round(host.clientWidth || 600));
  const height = Math.max(120, Math.round(host.clientHeight || 200));
  const x = (part) => LEFT + part * (width - LEFT - RIGHT);
  const y = (value) => height - BOTTOM - scale.part(value) * (height - TOP - BOTTOM);
  const root = svg('svg', { viewBox: `0 0 ${width} ${height}`, role: 'img', 'aria-label': label });
  for (const tick of scale.ticks) {
    root.append(
      svg('line', { class: 'grid', x1: LEFT, x2: width - RIGHT, y1: y(tick), y2: y(tick) }),
      svg('text', { x: LEFT - 6, y: y(tick) + 4, 'text-anchor': 'end' }, yText(tick)),
    );
  }
  let free = 0;
  for (const [part, text] of xTicks) {
    const half = textWidth(text) / 2;
    const middle = Math.min(Math.max(x(part), half), width - half);
    if (middle - half < free) continue;
    free = middle + half + 6;
    root.append(svg('text', { x: middle, y: height - 6, 'text-anchor': 'middle' }, text));
  }
  return { root, x, y, width, height, base: height - BOTTOM };
}

// A band over the whole height that shows `text` under the pointer.
const band = (chart, from, to, text) =>
  svg(
    'rect',
    {
      class: 'hit',
      x: chart.x(from),
      y: TOP,
      width: Math.max(1, chart.x(to) - chart.x(from)),
      height: chart.base - TOP,
    },
    svg('title', {}, text),
  );

// About as wide as the text will be: Chinese characters are twice as wide as Latin ones.
const textWidth = (text) => [...text].reduce((sum, letter) => sum + (letter > '\u2e80' ? 12 : 6.8), 0);

const round = (value) => Math.round(value * 10) / 10;

// Runs of points without a gap.
function runs(points, step) {
  const result = [];
  let before = -Infinity;
  for (const point of points) {
    if (point.value === null) continue;
    if (point.time - before > step * 1.5) result.push([]);
    result.at(-1).push(point);
    before = point.time;
  }
  return result;
}

// Lines over time. `series`: [{ class, points: [{ time, value }] }]; a missing time is a gap. `soFar`: the period that
// is not over, as a bar. `tips`: [{ time, text }].
export function lineChart(host, { label, from, to, step, series, scale, yText, xTicks, tips, area, soFar }) {
  const largest = Math.max(
    0,
    soFar?.value ?? 0,
    ...series.flatMap((line) => line.points.map((point) => point.value ?? 0)),
  );
  const chart = frame(host, {
    label,
    scale: scale ?? linearScale(largest),
    yText,
    xTicks: xTicks.map(([time, text]) => [(time - from) / (to - from), text]),
  });
  const part = (time) => Math.min(1, Math.max(0, (time - from) / (to - from)));
  if (soFar) {
    const left = chart.x(part(soFar.time));
    chart.root.append(
      svg('rect', {
        class: 'so-far',
        x: left,
        width: Math.max(2, chart.x(part(soFar.time + step)) - left),
        y: chart.y(soFar.value),
        height: chart.base - chart.y(soFar.value),
      }),
    );
  }
  for (const line of series) {
    for (const run of runs(line.points, step)) {
      const places = run.map(
        (point) => `${round(chart.x(part(point.time + step / 2)))},${round(chart.y(point.value))}`,
      );
      const [left, right] = [places[0].split(',')[0], places.at(-1).split(',')[0]];
      if (area && run.length > 1)
        chart.root.append(
          svg('path', { class: 'area', d: `M${left},${chart.base}L${places.join('L')}L${right},${chart.base}Z` }),
        );
      if (run.length > 1) chart.root.append(svg('path', { class: `line ${line.class}`, d: `M${places.join('L')}` }));
      else
        chart.root.append(svg('circle', { class: `point ${line.class}`, cx: left, cy: places[0].split(',')[1], r: 2 }));
    }
  }
  for (const tip of tips) chart.root.append(band(chart, part(tip.time), part(tip.time + step), tip.text));
  host.replaceChildren(chart.root);
}

// One bar for each place. `bars`: [{ value, class, text, above }], value null for a gap.
export function barChart(host, { label, bars, yText, xTicks }) {
  const chart = frame(host, {
    label,
    scale: linearScale(Math.max(0, ...bars.map((bar) => bar.value ?? 0))),
    yText,
    xTicks,
  });
  bars.forEach((bar, index) => {
    const [from, to] = [index / bars.length, (index + 1) / bars.length];
    const gap = Math.min(4, (chart.x(to) - chart.x(from)) * 0.2);
    if (bar.value !== null) {
      const top = chart.y(bar.value);
      chart.root.append(
        svg('rect', {
          class: `day ${bar.class}`,
          x: round(chart.x(from) + gap / 2),
          width: round(chart.x(to) - chart.x(from) - gap),
          y: round(top),
          height: round(chart.base - top),
        }),
      );
    }
    chart.root.append(band(chart, from, to, bar.text));
  });
  host.replaceChildren(chart.root);
}

// Shares of a whole, side by side. `parts`: [{ share, class, name, text }].
export function stackedBar(host, { label, parts }) {
  const width = Math.max(240, Math.round(host.clientWidth || 600));
  const height = 34;
  const root = svg('svg', { viewBox: `0 0 ${width} ${height}`, role: 'img', 'aria-label': label });
  let left = 0;
  for (const part of parts) {
    const size = part.share * width;
    root.append(
      svg(
        'rect',
        { class: part.class, x: round(left), y: 0, width: Math.max(0.5, round(size - 1.5)), height },
        svg('title', {}, part.text),
      ),
    );
    if (size > textWidth(part.name) + 16)
      root.append(svg('text', { class: `on ${part.class}`, x: round(left + 8), y: 22 }, part.name));
    left += size;
  }
  host.replaceChildren(root);
}

// Small bars for one group, a day each; null is a gap. The last day is not over.
export function sparkline(label, values) {
  const [width, height] = [98, 24];
  const max = Math.max(1, ...values.map((value) => value ?? 0));
  const root = svg('svg', {
    class: 'spark',
    viewBox: `0 0 ${width} ${height}`,
    width,
    height,
    role: 'img',
    'aria-label': label,
  });
  const size = width / values.length;
  values.forEach((value, index) => {
    if (value === null) return;
    const tall = Math.max(1, (value / max) * (height - 2));
    root.append(
      svg('rect', {
        class: index === values.length - 1 ? 'col so-far' : 'col',
        x: round(index * size),
        width: round(size - 1.5),
        y: round(height - tall),
        height: round(tall),
      }),
    );
  });
  return root;
}
