// The relevance curve under the player: a slider that shows where a video fits.

import { $, svg, timecode } from "./dom.js";

const STEP = { ArrowLeft: -1, ArrowRight: 1, ArrowDown: -1, ArrowUp: 1, PageDown: -10, PageUp: 10 };

export class Curve {
  /** @param seek called with the second that the user chose */
  constructor(seek) {
    this.seek = seek;
    this.seconds = 0;
    this.values = [];
    this.now = 0;
    this.box = $("curve");
    this.box.addEventListener("pointerdown", (event) => this.press(event));
    this.box.addEventListener("pointermove", (event) => this.move(event));
    this.box.addEventListener("pointerleave", () => { $("curve-tip").hidden = true; });
    this.box.addEventListener("keydown", (event) => this.key(event));
  }

  /** Begin on a video, without a curve so far. */
  begin(seconds, moments) {
    this.seconds = Math.max(seconds, 1);
    this.values = [];
    $("curve-end").textContent = timecode(seconds);
    this.box.setAttribute("aria-valuemax", String(seconds));
    $("curve-bands").replaceChildren(...moments.map((moment) => this.band(moment)));
    $("curve-area").setAttribute("d", "");
    $("curve-line").setAttribute("d", "");
    $("curve-about").textContent = "";
    this.at(0);
  }

  band({ start, end, current }) {
    const [left, right] = [start, end].map((second) => (1000 * second) / this.seconds);
    return svg("rect", { x: left, y: 0, width: Math.max(right - left, 3), height: 100, class: current ? "band current" : "band" });
  }

  /** Draw the curve: the least value at the bottom, the greatest at the top. */
  show(values) {
    this.values = values;
    if (!values.length) return;
    this.least = values.reduce((one, other) => Math.min(one, other)); // of a long video there are too many for arguments
    this.range = values.reduce((one, other) => Math.max(one, other)) - this.least || 1;
    const height = (value) => 94 - (86 * (value - this.least)) / this.range;
    const points = values.map((value, second) => `${((second + 0.5) * 1000) / values.length},${height(value).toFixed(2)}`);
    const line = [`0,${height(values[0]).toFixed(2)}`, ...points, `1000,${height(values.at(-1)).toFixed(2)}`].join("L");
    $("curve-line").setAttribute("d", `M${line}`);
    $("curve-area").setAttribute("d", `M0,100L${line}L1000,100Z`);
    $("curve-about").textContent = "how well each second fits";
    this.at(this.now);
  }

  /** Say where the player is. */
  at(second) {
    this.now = second;
    $("curve-head").style.left = `${Math.min(100, (100 * second) / this.seconds)}%`;
    this.box.setAttribute("aria-valuenow", String(Math.round(second)));
    this.box.setAttribute("aria-valuetext", this.words(second));
  }

  words(second) {
    const where = `${timecode(second)} of ${timecode(this.seconds)}`;
    return this.values.length ? `${where}, fits ${this.percent(second)} %` : where;
  }

  percent(second) {
    const value = this.values[Math.min(this.values.length - 1, Math.floor(second))];
    return Math.round((100 * (value - this.least)) / this.range);
  }

  second(event) {
    const box = this.box.getBoundingClientRect();
    return Math.min(1, Math.max(0, (event.clientX - box.left) / box.width)) * this.seconds;
  }

  press(event) {
    if (event.button !== 0) return;
    this.box.setPointerCapture(event.pointerId);
    this.seek(this.second(event));
  }

  move(event) {
    const second = this.second(event);
    const tip = $("curve-tip");
    tip.hidden = false;
    tip.textContent = this.values.length ? `${timecode(second)} · ${this.percent(second)} %` : timecode(second);
    tip.style.left = `${Math.min(92, Math.max(8, (100 * second) / this.seconds))}%`;
    if (this.box.hasPointerCapture(event.pointerId)) this.seek(second);
  }

  key(event) {
    let second;
    if (event.key in STEP) second = this.now + STEP[event.key];
    else if (event.key === "Home") second = 0;
    else if (event.key === "End") second = this.seconds - 1;
    else return;
    event.preventDefault();
    event.stopPropagation();
    this.seek(Math.min(this.seconds, Math.max(0, second)));
  }
}
