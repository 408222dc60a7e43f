// The rates of the last ten minutes as a line without axes. A hole in the line is a time without a number.

/* global uPlot */

import { rate, span } from './format.js';

const HEIGHT = 26;
/** Ten minutes, however many of them are known. */
const WINDOW_SECONDS = 600;
/** Room above and below the line, so that its stroke is not cut. */
const MARGIN = 3;

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name);
const sparks = new Set();

/** A sparkline; `update({rates, step})` shows other numbers. */
export function spark() {
  const node = document.createElement('div');
  node.className = 'spark';
  node.setAttribute('role', 'img');
  let plot = null;
  let shown = '';
  node.update = ({ rates, step }) => {
    const next = `${step}:${rates.join()}`;
    if (next === shown) return;
    shown = next;
    node.setAttribute('aria-label', description(rates, step));
    node.title = node.getAttribute('aria-label');
    const data = [rates.map((_, index) => (index + 1 - rates.length) * step), rates];
    if (plot) {
      plot.setData(data);
    } else {
      plot = draw(node, data);
      sparks.add(plot);
    }
  };
  return node;
}

/** What the line shows, for who does not see it. */
function description(rates, step) {
  const known = rates.filter((value) => value !== null);
  if (known.length === 0) return 'no rates yet';
  const [least, most] = [Math.min(...known), Math.max(...known)];
  const last = rates.at(-1);
  const now = last === null ? 'unknown' : rate(last);
  return `events per second in the last ${span(rates.length * step)}: from ${rate(least)} to ${rate(most)}, now ${now}`;
}

function draw(node, data) {
  const line = { stroke: () => colour('--line'), fill: () => colour('--area'), width: 1.5, points: { show: false } };
  const options = {
    width: node.clientWidth || 1,
    height: HEIGHT,
    padding: [MARGIN, 1, MARGIN, 1],
    cursor: { show: false },
    legend: { show: false },
    scales: {
      x: { time: false, range: [-WINDOW_SECONDS, 0] },
      y: { range: (_, least, most) => [0, Math.max(most, 1)] },
    },
    axes: [{ show: false }, { show: false }],
    series: [{}, line],
  };
  const plot = new uPlot(options, data, node);
  new ResizeObserver(() => {
    if (node.clientWidth > 0) plot.setSize({ width: node.clientWidth, height: HEIGHT });
  }).observe(node);
  return plot;
}

matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => {
  for (const plot of sparks) plot.redraw();
});
