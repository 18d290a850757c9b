// The last minutes, drawn with uPlot. The page remembers them; the broker does not.

import { bytes, count, micros, rate } from "./words.js";

/** Looks that are remembered: five minutes, twice a second. */
const LOOKS_MAX = 600;
const HEIGHT = 132;
/** Seconds that are in the picture at least. */
const SPAN_MIN = 60;
/** Steps of an axis of bytes. */
const BYTE_STEPS = Array.from({ length: 45 }, (_, power) => 2 ** power);

const PLOTS = [
  ["plot-messages", ["messages_in", "messages_out"], rate, 10],
  ["plot-bytes", ["bytes_in", "bytes_out"], bytes, 1024],
  ["plot-depth", ["messages", "leased"], count, 10],
  ["plot-trip", ["round_trip_us"], micros, 100],
];

let plots = [];
const times = [];
const values = PLOTS.map(([, keys]) => keys.map(() => []));

function color(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

function options([, keys, show, least], width) {
  const [line, grid, text] = ["--in", "--rule", "--quiet"].map(color);
  const lines = [line, color("--out")];
  const axis = { stroke: text, grid: { stroke: grid, width: 1 }, ticks: { show: false }, font: "11px system-ui, sans-serif" };
  const series = keys.map((key, index) => ({
    label: key,
    stroke: lines[index],
    width: 1.5,
    fill: index === 0 ? lines[0] + "22" : undefined,
    points: { show: false },
    spanGaps: false,
  }));
  return {
    width,
    height: HEIGHT,
    legend: { show: false },
    cursor: { drag: { setScale: false }, points: { size: 5 }, sync: { key: "time" } },
    scales: {
      x: { range: (plot, low, high) => [Math.min(low, high - SPAN_MIN), high] },
      y: { range: (plot, low, high) => [0, Math.max(high ?? 0, least) * 1.1] },
    },
    axes: [
      { ...axis, size: 24, space: 80, values: [[1, "{HH}:{mm}:{ss}", null, null, null, null, null, null, 1]] },
      { ...axis, size: 58, space: 28, values: (plot, splits) => splits.map(show), ...(show === bytes && { incrs: BYTE_STEPS }) },
    ],
    series: [{}, ...series],
  };
}

/** Draws anew, in the colours and the width that there are now. */
export function layPlots() {
  if (!window.uPlot) return;
  plots.forEach((plot) => plot.destroy());
  plots = PLOTS.map((one, index) => {
    const place = document.getElementById(one[0]);
    return new window.uPlot(options(one, place.clientWidth || 300), [times, ...values[index]], place);
  });
}

/** One more look. `null` is a gap: there was none. */
export function addLook(now) {
  times.push(Date.now() / 1000);
  PLOTS.forEach(([, keys], index) => keys.forEach((key, at) => values[index][at].push(now ? now.totals[key] : null)));
  if (times.length > LOOKS_MAX) [times, ...values.flat()].forEach((all) => all.shift());
  plots.forEach((plot, index) => plot.setData([times, ...values[index]]));
}

let width = 0;
new ResizeObserver((entries) => {
  const now = Math.round(entries[0].contentRect.width);
  if (now === width) return;
  width = now;
  plots.forEach((plot, index) => {
    plot.setSize({ width: document.getElementById(PLOTS[index][0]).clientWidth, height: HEIGHT });
  });
}).observe(document.getElementById("plots"));
