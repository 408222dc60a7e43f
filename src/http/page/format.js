// Numbers, spans and times as text. What is not known is a dash.

export const UNKNOWN = '–';

const isKnown = (value) => value !== null && value !== undefined;

/** A count in full: 1,234,567. */
export function count(value) {
  return isKnown(value) ? value.toLocaleString('en-US') : UNKNOWN;
}

/** Events a second: one decimal while it matters. */
export function rate(value) {
  if (!isKnown(value)) return UNKNOWN;
  return value > 0 && value < 100 ? value.toFixed(1) : count(Math.round(value));
}

/** A span of seconds with its two greatest units: 0.4 s, 12 s, 4 min 10 s, 3 h 12 min, 4 d 3 h. */
export function span(seconds) {
  if (!isKnown(seconds)) return UNKNOWN;
  if (seconds < 9.95) return `${seconds.toFixed(1)} s`;
  if (seconds < 59.5) return `${Math.round(seconds)} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min ${Math.floor(seconds % 60)} s`;
  const hours = Math.floor(minutes / 60);
  if (hours < 24) return `${hours} h ${minutes % 60} min`;
  return `${Math.floor(hours / 24)} d ${hours % 24} h`;
}

/** An age, in whole seconds: it is looked at once a second. */
export function age(seconds) {
  if (!isKnown(seconds)) return UNKNOWN;
  if (seconds < 1) return '< 1 s';
  return seconds < 59.5 ? `${Math.floor(seconds)} s` : span(seconds);
}

/** The span from one ISO time to another. */
export function spanBetween(from, to) {
  return isKnown(from) && isKnown(to) ? span(Math.max(0, (Date.parse(to) - Date.parse(from)) / 1000)) : UNKNOWN;
}

/** A latency: it is the upper bound of a bucket of a histogram whose greatest bound is 120 s. */
export function latency(seconds, hasEvents) {
  if (!isKnown(seconds)) return hasEvents ? '> 120 s' : UNKNOWN;
  return seconds < 1 ? `${Number((seconds * 1000).toPrecision(3))} ms` : `${seconds} s`;
}

/** Bytes in binary units with three digits. */
export function bytes(value) {
  if (!isKnown(value)) return UNKNOWN;
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  let unit = 0;
  while (value >= 1023.5 && unit < units.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${unit === 0 || value >= 99.95 ? Math.round(value) : value.toFixed(1)} ${units[unit]}`;
}

/** The time of day of an ISO time in UTC, with the date unless it is that of `now`. */
export function time(iso, now) {
  if (!isKnown(iso)) return UNKNOWN;
  const day = iso.slice(0, 10);
  const clock = iso.slice(11, 19);
  return day === (now ?? '').slice(0, 10) ? clock : `${day} ${clock}`;
}

/** `one batch`, `two batches`. */
export function plural(n, one, many = `${one}s`) {
  return `${count(n)} ${n === 1 ? one : many}`;
}

/** A name of the service's own for people: `spool_full` is `spool full`. */
export function words(label) {
  return label.replaceAll('_', ' ');
}
