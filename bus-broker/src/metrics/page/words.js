// Figures in words. Pure; what is not known is a dash.

const SIZES = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];

/** A number in at most six characters. */
export function count(value) {
  if (value == null) return "–";
  if (value >= 1e12) return value.toExponential(0);
  if (value >= 1e9) return (value / 1e9).toFixed(1) + "G";
  if (value >= 1e6) return (value / 1e6).toFixed(1) + "M";
  if (value >= 1e5) return (value / 1e3).toFixed(0) + "k";
  return String(Math.round(value));
}

export function rate(value) {
  if (value == null) return "–";
  return value > 0 && value < 10 ? value.toFixed(1) : count(value);
}

export function bytes(value) {
  if (value == null) return "–";
  let unit = 0;
  while (value >= 1024 && unit + 1 < SIZES.length) {
    value /= 1024;
    unit += 1;
  }
  return (unit > 0 && value < 10 ? value.toFixed(1) : value.toFixed(0)) + " " + SIZES[unit];
}

export function micros(value) {
  if (value == null) return "–";
  if (value < 1000) return value.toFixed(0) + " µs";
  if (value < 1e6) return (value / 1e3).toFixed(value < 1e4 ? 1 : 0) + " ms";
  return (value / 1e6).toFixed(1) + " s";
}

export function age(value) {
  if (value == null) return "–";
  const seconds = value / 1000;
  if (seconds < 1) return "now";
  if (seconds < 120) return seconds.toFixed(0) + " s";
  if (seconds < 7200) return (seconds / 60).toFixed(0) + " min";
  if (seconds < 172800) return (seconds / 3600).toFixed(0) + " h";
  return (seconds / 86400).toFixed(0) + " d";
}

export function percent(value) {
  if (value == null) return "–";
  return value > 0 && value < 1 ? "<1 %" : value.toFixed(0) + " %";
}

/** By the kind of a column. */
export const SHOW = {
  text: (value) => (value == null ? "–" : String(value)),
  count,
  bytes,
  rate,
  byte_rate: bytes,
  percent,
  age,
  micros,
};
