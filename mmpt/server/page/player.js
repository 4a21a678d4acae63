// The player: a video at its moment, or stills of it where the browser cannot play it, with curve and transcript.

import { get, problem } from "./api.js";
import { Curve } from "./curve.js";
import { $, at, calm, count, duration, make, timecode } from "./dom.js";

export class Player {
  constructor() {
    this.video = $("video");
    this.shown = null; // id of the video
    this.stills = false;
    this.lines = [];
    this.curve = new Curve((second) => this.seek(second));
    this.video.addEventListener("timeupdate", () => this.follow(this.video.currentTime));
    this.video.addEventListener("seeking", () => this.follow(this.video.currentTime));
    this.video.addEventListener("error", () => this.cannotPlay());
    this.video.addEventListener("loadedmetadata", () => this.ready());
    $("still").addEventListener("error", () => this.note("There is no picture of this second."));
  }

  /**
   * Open a video at a second.
   * @param video as the API gives it
   * @param second where to begin
   * @param moments parts of it that were found: {start, end, current}
   * @param asked parameters of the curve, or null for none
   */
  async open(video, second, moments, asked) {
    const same = this.shown === video.id;
    this.request?.abort();
    this.request = new AbortController();
    $("stage").hidden = false;
    document.body.classList.add("playing");
    this.curve.begin(video.seconds, moments);
    this.describe(video);
    this.target = second;
    if (same) this.seek(second, { play: true });
    else this.load(video);
    const signal = this.request.signal;
    await Promise.all([this.draw(video, asked, signal), same ? null : this.transcribe(video, signal)]);
  }

  load(video) {
    this.shown = video.id;
    this.stills = false;
    this.wanted = true;
    this.screen(false);
    this.note("");
    const track = make("track", { kind: "captions", label: "Captions", src: at(`api/videos/${video.id}/captions`) });
    this.video.replaceChildren(...(video.captions ? [track] : []));
    this.video.poster = this.picture(this.target);
    this.video.src = at(`api/videos/${video.id}/stream`);
    this.curve.at(this.target);
  }

  ready() {
    if (!this.video.videoWidth) {
      this.cannotPlay(); // the sound plays, the picture does not
      return;
    }
    this.video.currentTime = this.target;
    if (this.wanted) this.play();
  }

  play() {
    this.video.play().catch(() => {}); // where the browser wants a click first, its own button waits
  }

  toggle() {
    if (this.stills) return;
    if (this.video.paused) this.play();
    else this.video.pause();
  }

  seek(second, { play = false } = {}) {
    this.target = second;
    if (this.stills) this.still(second);
    else if (this.video.readyState) this.video.currentTime = second;
    if (play && !this.stills) this.play();
    this.follow(second);
  }

  skip(seconds) {
    this.seek(Math.min(this.curve.seconds, Math.max(0, (this.stills ? this.target : this.video.currentTime) + seconds)));
  }

  follow(second) {
    this.curve.at(second);
    const said = this.lines.find((line) => line.start <= second && second < line.end);
    if (said === this.said) return;
    this.said?.button.removeAttribute("aria-current");
    this.said = said;
    if (!said) return;
    said.button.setAttribute("aria-current", "true");
    const list = $("lines"); // scrolled by itself, so that the page stays where it is
    list.scrollTo({ top: said.button.offsetTop - list.clientHeight / 2, behavior: calm() ? "auto" : "smooth" });
  }

  async cannotPlay() {
    if (!this.shown || !this.video.getAttribute("src")) return;
    const shown = this.shown;
    const answer = await fetch(at(`api/videos/${shown}/thumbnail?second=0&width=160`)).catch(() => null);
    if (this.shown !== shown) return;
    if (answer && (answer.status === 404 || answer.status === 409)) {
      const error = await problem(answer);
      this.note(`This video cannot be shown: ${error.message}. ${error.hint}`);
      return;
    }
    this.stills = true;
    this.screen(true);
    this.note("Your browser cannot play this format, so stills are shown. Click the curve to look around.");
    this.seek(this.target);
  }

  screen(stills) {
    this.video.hidden = stills;
    $("still").hidden = !stills;
    if (stills) this.video.removeAttribute("src");
  }

  still(second) {
    $("still").src = this.picture(second);
    $("still").alt = `The picture at ${timecode(second)}`;
  }

  picture(second) {
    return at(`api/videos/${this.shown}/thumbnail?second=${Math.floor(second)}&width=640`);
  }

  note(text) {
    $("screen-note").textContent = text;
    $("screen-note").hidden = !text;
  }

  describe(video) {
    $("stage-title").textContent = video.title;
    $("stage-about").textContent = `${duration(video.seconds)} · ${video.folder}`;
    $("damage").hidden = !video.damage.length;
    $("damage").replaceChildren(...video.damage.map((line) => make("li", {}, line)));
  }

  async draw(video, asked, signal) {
    if (!asked) {
      $("curve-about").textContent = "search to see where it fits";
      return;
    }
    try {
      const curve = await get("api/curve", { video: video.id, ...asked }, signal);
      this.curve.show(curve.values);
    } catch (error) {
      if (error.name !== "AbortError") $("curve-about").textContent = `no curve: ${error.message}`;
    }
  }

  async transcribe(video, signal) {
    this.lines = [];
    this.said = undefined;
    $("transcript").hidden = !video.captions;
    $("transcript").open = innerHeight > 860; // where it fits under the curve
    $("lines").replaceChildren();
    if (!video.captions) return;
    $("transcript-count").textContent = count(video.captions, "line");
    try {
      const details = await get(`api/videos/${video.id}`, {}, signal);
      this.lines = details.said.map((line) => ({ ...line, button: this.line(line) }));
      $("lines").replaceChildren(...this.lines.map((line) => make("li", {}, line.button)));
    } catch (error) {
      if (error.name !== "AbortError") $("transcript-count").textContent = `cannot be read: ${error.message}`;
    }
  }

  line({ start, text }) {
    const time = make("span", { className: "when" }, timecode(start));
    const button = make("button", { type: "button" }, time, make("span", {}, text));
    button.addEventListener("click", () => this.seek(start, { play: true }));
    return button;
  }

  close() {
    this.request?.abort();
    this.shown = null;
    this.wanted = false;
    this.video.pause();
    this.video.removeAttribute("src");
    this.video.load();
    $("stage").hidden = true;
    document.body.classList.remove("playing");
  }
}
