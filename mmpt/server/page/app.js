// The page: a search in the address -> results -> a player. Everything that is shown stands in the address.

import { get } from "./api.js";
import { momentCard, skeletons, videoCard, walk } from "./cards.js";
import { $, calm, count, duration, make, timecode } from "./dom.js";
import { listen } from "./keys.js";
import { Player } from "./player.js";
import * as states from "./state.js";
import { Uploads } from "./uploads.js";

const PART = 24; // cards at a time
const LOOK = 2000; // milliseconds between looks at whether the library has changed
const SLOW = 150; // milliseconds after which gray cards say that something is on its way

const player = new Player();
let state = states.read();
let library = null;
let moments = []; // as found, in the order of the cards
let listed = []; // videos, where nothing is searched
let request = null;
let limit = PART;

async function show({ focus = false } = {}) {
  fillForm();
  request?.abort();
  request = new AbortController();
  const { signal } = request;
  const slow = setTimeout(() => { $("cards").replaceChildren(...skeletons(8)); say("", ""); $("headline").textContent = "Searching …"; }, SLOW);
  $("message").hidden = true;
  $("renew").hidden = true;
  $("more").hidden = true;
  try {
    if (!library) library = await get("api/library", {}, signal);
    if (states.searches(state)) await showMoments(signal);
    else await showVideos(signal);
    clearTimeout(slow);
    await openPlayer();
    if (focus) $("cards").querySelector(".name a")?.focus({ preventScroll: true });
  } catch (error) {
    clearTimeout(slow);
    if (error.name !== "AbortError") fail(error);
  }
}

async function showMoments(signal) {
  const threshold = state.all ? { threshold: "none" } : {};
  const asked = { ...states.query(state), ...states.filters(state), mode: state.mode, limit, ...threshold };
  const found = await get("api/search", asked, signal);
  moments = found.moments;
  listed = [];
  const what = state.like ? "this moment" : `“${state.q}”`;
  document.title = `${state.like ? "More like this" : state.q} – mmpt`;
  if (!moments.length) return noMatch(what, found);
  const best = Math.max(...moments.map((moment) => moment.score)); // in both modes the order is not that of the scores alone
  $("cards").replaceChildren(...moments.map((moment) => momentCard(moment, state, best)));
  const title = state.all ? `What comes closest to ${what}` : `${count(moments.length, "moment")} for ${what}`;
  const about = `${count(found.searched, "window")} of ${count(library.videos, "video")} searched in ${Math.round(found.seconds_taken * 1000)} ms`;
  const few = found.judged ? "" : "; too few to tell what stands out, so the best are shown";
  const good = found.judged && state.all ? `; ${count(moments.filter((moment) => moment.match).length, "match", "matches")}` : "";
  say(title, about + few + good);
  $("more").hidden = moments.length < limit || limit >= 100;
}

async function showVideos(signal) {
  const found = await get("api/videos", { ...states.filters(state), sort: "added", limit: Math.min(limit, 1000) }, signal);
  listed = found.videos;
  moments = [];
  document.title = "Search your videos – mmpt";
  $("cards").replaceChildren(...listed.map((video) => videoCard(video, state)));
  if (!library.videos) return emptyLibrary();
  const captions = library.captions ? `, ${count(library.captions, "caption")}` : "";
  say(filtered() ? `${count(found.total, "video")} with these filters` : "Your videos", `${count(library.videos, "video")}, ${duration(library.seconds)}${captions}`);
  if (!listed.length) message("No video passes the filters.", "Widen them, or clear them.", ["Clear filters", clearFilters]);
  $("more").hidden = listed.length >= found.total;
}

function noMatch(what, found) {
  $("cards").replaceChildren();
  say(`No match for ${what}`, `${count(found.searched, "window")} searched`);
  const { below } = found;
  const closest = below && `What comes closest, in ${below.video.title} at ${timecode(below.best)}, scores ${below.score.toFixed(1)}; ${found.threshold} is asked for.`;
  const hints = [
    closest,
    found.searched ? "Nothing in the library stands out for these words. Describe what is to be seen in a plain sentence, such as “a dog runs over grass”." : "No video passes the filters, so that nothing was searched.",
    filtered() && found.searched ? "Filters are set; the moment may be in another video." : "",
    state.mode === "said" ? "Only captions were searched; what is seen may match." : "",
  ];
  const actions = [];
  if (state.mode !== "both") actions.push(["Search what is seen and said", () => go({ mode: "both" })]);
  if (filtered()) actions.push(["Clear filters", clearFilters]);
  if (found.searched) actions.push(["Show what comes closest", () => go({ all: "1" })]);
  message(...hints.filter(Boolean), ...actions);
}

function emptyLibrary() {
  say("This library is empty", "");
  const action = library.uploads ? [["Add a video", () => $("upload").showModal()]] : [];
  message("Index a folder of videos, and leave this page open: it shows them as they come.", make("code", {}, "mmpt index ~/Videos"), ...action);
}

function fail(error) {
  $("cards").replaceChildren();
  say(error.status === 429 ? "The server is busy" : "That did not work", "");
  message(sentence(error.message), sentence(error.hint || "Try again"), ["Try again", () => show()]);
}

function say(title, about) {
  $("headline").textContent = title;
  $("subline").textContent = about;
  $("status").textContent = title;
}

/** Show sentences, elements and buttons ([label, action]) in place of results. */
function message(...parts) {
  const elements = parts.map((part) => {
    if (part instanceof Element) return part;
    if (!Array.isArray(part)) return make("p", {}, part);
    const button = make("button", { type: "button", className: "quiet" }, part[0]);
    button.addEventListener("click", part[1]);
    return button;
  });
  $("message").replaceChildren(...elements);
  $("message").hidden = false;
}

const sentence = (words) => `${words[0].toUpperCase()}${words.slice(1)}.`;
const filtered = () => Boolean(state.folder || state.length || state.after || state.before);

/** Go to another search, or to the same with a change. */
function go(change, options) {
  state = { ...state, all: "", ...change };
  limit = PART;
  states.write(state);
  return show(options);
}

function clearFilters() {
  return go({ folder: "", length: "", after: "", before: "" });
}

function fillForm() {
  if (document.activeElement !== $("q")) $("q").value = state.q;
  document.querySelector(`input[name=mode][value=${state.mode}]`).checked = true;
  fillFolders();
  for (const name of ["folder", "length", "after", "before"]) $(name).value = state[name];
  const number = ["folder", "length", "after", "before"].filter((name) => state[name]).length;
  $("filters-count").hidden = !number;
  $("filters-count").textContent = String(number);
}

function fillFolders() {
  const folders = new Set(library?.folders || []);
  if (state.folder) folders.add(state.folder);
  const options = [...folders].sort().map((folder) => make("option", { value: folder }, folder));
  $("folder").replaceChildren(make("option", { value: "" }, "All folders"), ...options);
}

// The player

async function openPlayer() {
  for (const card of $("cards").children) card.classList.remove("current");
  if (!state.video) {
    if (player.shown) player.close();
    return;
  }
  const index = current();
  $("cards").children[index]?.classList.add("current");
  try {
    const video = moments[index]?.video || listed[index] || (await get(`api/videos/${state.video}`));
    const here = moments.filter((moment) => moment.video.id === video.id).map((moment) => ({ ...moment, current: moment === moments[index] }));
    $("previous").disabled = $("next").disabled = cards() < 2;
    await player.open(video, Number(state.at) || 0, here, states.searches(state) ? states.query(state) : null);
  } catch (error) {
    if (error.name === "AbortError") return;
    $("status").textContent = error.message;
    state.video = "";
    states.write(state, { replace: true });
  }
}

const cards = () => moments.length || listed.length;

/** Which card is played: the one of this video whose best second is the state's, else the first of the video. */
function current() {
  const exact = moments.findIndex((moment) => moment.video.id === state.video && String(moment.best) === String(state.at));
  if (exact >= 0) return exact;
  return (moments.length ? moments.map((moment) => moment.video) : listed).findIndex((video) => video.id === state.video);
}

function play(index) {
  const moment = moments[index];
  const video = moment?.video || listed[index];
  if (!video) return;
  state = { ...state, video: video.id, at: String(moment ? moment.best : 0) };
  states.write(state);
  openPlayer();
  if (matchMedia("(max-width: 999px)").matches) $("stage").scrollIntoView({ behavior: calm() ? "auto" : "smooth", block: "start" });
}

function step(by) {
  if (!state.video || !cards()) return;
  const index = (Math.max(current(), 0) + by + cards()) % cards();
  play(index);
  $("cards").children[index].querySelector("a").focus({ preventScroll: true });
  $("cards").children[index].scrollIntoView({ block: "nearest", behavior: calm() ? "auto" : "smooth" });
}

function closePlayer() {
  const card = $("cards").querySelector(".current .name a");
  state = { ...state, video: "", at: "" };
  states.write(state);
  openPlayer();
  (card || $("q")).focus({ preventScroll: true });
}

function pressCard(event) {
  const card = event.target.closest(".card");
  if (!card || event.ctrlKey || event.metaKey || event.shiftKey || event.button) return;
  const index = [...$("cards").children].indexOf(card);
  if (event.target.closest(".like")) {
    const { video, start, end } = moments[index];
    go({ q: "", like: video.id, from: String(start), to: String(end), video: "", at: "" }, { focus: true });
  } else if (event.target.closest("a")) {
    event.preventDefault(); // the link is for other tabs
    play(index);
  }
}

// What stays the same

async function lookForChanges() {
  if (document.hidden || !library) return;
  const now = await get("api/library").catch(() => null);
  if (!now || now.version === library.version) return;
  const shows = states.searches(state) || player.shown;
  library = now;
  fillFolders();
  $("folder").value = state.folder;
  if (shows) $("renew").hidden = false;
  else await show();
}

function setFilters() {
  go({ folder: $("folder").value, length: $("length").value, after: $("after").value, before: $("before").value });
}

function toggleFilters() {
  const open = $("filters").hidden;
  showFilters(open);
  if (open) $("folder").focus();
}

function showFilters(open) {
  $("filters").hidden = !open;
  $("filters-toggle").setAttribute("aria-expanded", String(open));
}

function setTheme(theme) {
  if (theme) document.documentElement.dataset.theme = theme;
}

function changeTheme() {
  const dark = document.documentElement.dataset.theme || (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
  setTheme(dark === "dark" ? "light" : "dark");
  localStorage.setItem("theme", document.documentElement.dataset.theme);
}

function wire() {
  $("search").addEventListener("submit", (event) => {
    event.preventDefault();
    const words = $("q").value.trim();
    go({ q: words, like: "", from: "", to: "", video: "", at: "" }, { focus: Boolean(words) });
  });
  for (const radio of document.querySelectorAll("input[name=mode]")) radio.addEventListener("change", () => go({ mode: radio.value }));
  for (const name of ["folder", "length", "after", "before"]) $(name).addEventListener("change", setFilters);
  $("filters-toggle").addEventListener("click", toggleFilters);
  $("filters-clear").addEventListener("click", clearFilters);
  $("home").addEventListener("click", (event) => { event.preventDefault(); $("q").value = ""; go(states.read("")); });
  $("cards").addEventListener("click", pressCard);
  $("cards").addEventListener("keydown", walk);
  $("more").addEventListener("click", () => { limit = states.searches(state) ? Math.min(100, limit + PART) : limit + 2 * PART; show(); });
  $("renew").addEventListener("click", () => show());
  $("theme").addEventListener("click", changeTheme);
  $("help-open").addEventListener("click", () => $("help").showModal());
  $("close").addEventListener("click", closePlayer);
  $("next").addEventListener("click", () => step(1));
  $("previous").addEventListener("click", () => step(-1));
  window.addEventListener("popstate", () => { state = states.read(); $("q").value = state.q; show(); });
  listen({ player, step, closePlayer, toggleFilters, mode: (mode) => go({ mode }) });
  setInterval(lookForChanges, LOOK);
}

setTheme(localStorage.getItem("theme"));
wire();
await show();
if (!states.searches(state) && !state.video) $("q").focus({ preventScroll: true });
if (filtered()) showFilters(true);
fillForm();
if (library?.uploads) new Uploads(lookForChanges, library.upload_bytes);
