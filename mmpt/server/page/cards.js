// Results as a grid of cards: pictures, time codes, scores, and arrow keys among them.

import { $, at, duration, make, timecode } from "./dom.js";
import { link } from "./state.js";

const WHY = { seen: "seen", said: "said", both: "seen and said" };

/** A card of a moment. */
export function momentCard(moment, state, best) {
  const { video, start, end } = moment;
  const to = { ...state, video: video.id, at: moment.best };
  const card = bare(video, moment.best, link(to));
  const span = `${timecode(start)} – ${timecode(end)}`;
  card.querySelector(".time").textContent = span;
  const [why, score] = [card.querySelector(".why"), card.querySelector(".score")];
  why.textContent = WHY[moment.why];
  why.dataset.why = moment.why;
  score.title = `score ${moment.score.toFixed(2)}: how far the moment stands out`;
  score.querySelector(".number").textContent = moment.score.toFixed(1);
  const meter = score.querySelector("meter");
  meter.value = best > 0 ? Math.min(1, Math.max(0, moment.score / best)) : 0;
  meter.setAttribute("aria-label", "Score beside the best one");
  if (moment.said) card.querySelector(".quote").textContent = `“${moment.said}”`;
  const words = [video.title, `${timecode(start)} to ${timecode(end)}`, `score ${moment.score.toFixed(1)}`, WHY[moment.why]];
  card.querySelector("a").setAttribute("aria-label", words.join(", "));
  card.querySelector(".like").setAttribute("aria-label", `More like ${video.title} at ${timecode(start)}`);
  return card;
}

/** A card of a whole video. */
export function videoCard(video, state) {
  const card = bare(video, Math.floor(video.seconds / 3), link({ ...state, video: video.id, at: "0" }));
  card.querySelector(".time").textContent = timecode(video.seconds);
  card.querySelector(".facts").textContent = duration(video.seconds) + (video.captions ? " · with captions" : "");
  card.querySelector(".like").remove();
  card.querySelector("a").setAttribute("aria-label", `${video.title}, ${duration(video.seconds)}`);
  return card;
}

function bare(video, second, href) {
  const card = $("card").content.firstElementChild.cloneNode(true);
  const picture = card.querySelector("img");
  const source = at(`api/videos/${video.id}/thumbnail?second=${Math.floor(second)}&width=320`);
  const waits = [2, 6]; // seconds; a busy server answers later
  picture.src = source;
  picture.addEventListener("load", () => card.classList.remove("blank"));
  picture.addEventListener("error", () => {
    card.classList.add("blank");
    const wait = waits.shift();
    if (wait) setTimeout(() => { picture.src = `${source}&try=${waits.length}`; }, wait * 1000);
  });
  const anchor = card.querySelector("a");
  anchor.textContent = video.title;
  anchor.href = href;
  card.dataset.video = video.id;
  return card;
}

/** Gray cards, while a search is on its way. */
export function skeletons(number) {
  return Array.from({ length: number }, () => make("li", { className: "card skeleton", "aria-hidden": "true" }, make("div", { className: "picture" }), make("div", { className: "text" })));
}

/** Arrow keys move the focus among the cards; columns are counted as they lie. */
export function walk(event) {
  const anchors = [...$("cards").querySelectorAll(".name a")];
  const here = anchors.indexOf(document.activeElement);
  if (here < 0) return;
  const tops = anchors.map((anchor) => anchor.closest(".card").offsetTop);
  const columns = tops.filter((top) => top === tops[0]).length;
  const steps = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns, Home: -here, End: anchors.length - 1 - here };
  if (!(event.key in steps)) return;
  event.preventDefault();
  const there = here + steps[event.key];
  if (there >= 0 && there < anchors.length) anchors[there].focus();
  else if (there < 0 && event.key === "ArrowUp") $("q").focus();
}
