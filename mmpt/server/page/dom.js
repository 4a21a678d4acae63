// Small helpers. Text goes into the page as text only: nothing here, or anywhere, makes markup of a string.

/** An address of this server, below whatever path a proxy shows it. */
export const at = (path) => new URL(path, new URL("..", import.meta.url)).href;

export const $ = (id) => document.getElementById(id);

/** Make an element: make("p", {className: "note"}, "text", anotherElement). */
export function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.includes("-") || name === "role") element.setAttribute(name, value);
    else element[name] = value;
  }
  element.append(...children);
  return element;
}

export function svg(tag, attributes) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
}

/** 65 -> "1:05", 3665 -> "1:01:05". */
export function timecode(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  const two = (number) => String(number).padStart(2, "0");
  const [hours, minutes, rest] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  return hours ? `${hours}:${two(minutes)}:${two(rest)}` : `${minutes}:${two(rest)}`;
}

/** 5400 -> "1 h 30 min". */
export function duration(seconds) {
  const minutes = Math.round(seconds / 60);
  if (seconds < 90) return `${Math.round(seconds)} s`;
  return minutes < 90 ? `${minutes} min` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

export function count(number, one, many = `${one}s`) {
  return `${number.toLocaleString("en")} ${number === 1 ? one : many}`;
}

export function size(bytes) {
  const units = ["bytes", "kB", "MB", "GB", "TB"];
  const step = bytes ? Math.min(4, Math.floor(Math.log10(bytes) / 3)) : 0;
  return `${(bytes / 1000 ** step).toLocaleString("en", { maximumFractionDigits: step > 1 ? 1 : 0 })} ${units[step]}`;
}

export const calm = () => matchMedia("(prefers-reduced-motion: reduce)").matches;
