// What is searched for and played, as it stands in the page's address: to be shared, reloaded, and gone back to.

import { at } from "./dom.js";

const FIELDS = ["q", "like", "from", "to", "mode", "folder", "length", "after", "before", "all", "video", "at"];

export function read(search = location.search) {
  const parameters = new URLSearchParams(search);
  const state = {};
  for (const field of FIELDS) state[field] = parameters.get(field) || "";
  if (!["seen", "said"].includes(state.mode)) state.mode = "both";
  if (!/^[0-9a-f]{16}$/.test(state.video)) state.video = ""; // it becomes part of addresses
  if (!(Number(state.at) >= 0 && Number(state.at) <= 1e6)) state.at = ""; // a player takes no other numbers
  return state;
}

export function link(state) {
  const parameters = new URLSearchParams();
  for (const field of FIELDS) {
    const plain = field === "mode" && state.mode === "both";
    if (state[field] !== "" && state[field] !== undefined && !plain) parameters.set(field, state[field]);
  }
  const query = parameters.toString();
  return at(query ? `?${query}` : ".");
}

export function write(state, { replace = false } = {}) {
  const url = link(state);
  if (url === location.href) return;
  if (replace) history.replaceState(null, "", url);
  else history.pushState(null, "", url);
}

export const searches = (state) => Boolean(state.q || state.like);

/** The part of a state that the server is asked with. */
export function filters(state) {
  const [least, most] = (state.length || "-").split("-");
  return { folder: state.folder, after: state.after, before: state.before, min_seconds: least === "0" ? "" : least, max_seconds: most };
}

export function query(state) {
  return state.like ? { like: state.like, start: state.from, end: state.to } : { q: state.q };
}
