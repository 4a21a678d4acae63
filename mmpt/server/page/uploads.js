// Adding videos: sent one after the other, with what becomes of them.

import { get } from "./api.js";
import { $, at, duration, make, size } from "./dom.js";

const LOOK = 700; // milliseconds between looks at what becomes of an upload
const ENDED = { added: "added: it can be searched now", known: "is in the library already" };

export class Uploads {
  /** @param added called when a video came into the library */
  constructor(added, limit) {
    this.added = added;
    this.limit = limit;
    this.queue = [];
    this.busy = false;
    $("upload-open").hidden = false;
    $("upload-limit").textContent = `mp4, mov, mkv, webm, avi; up to ${size(limit)} each`;
    $("upload-open").addEventListener("click", () => $("upload").showModal());
    $("files").addEventListener("change", () => this.take($("files")));
    const drop = $("drop");
    for (const kind of ["dragenter", "dragover"]) drop.addEventListener(kind, (event) => { event.preventDefault(); drop.classList.add("over"); });
    for (const kind of ["dragleave", "drop"]) drop.addEventListener(kind, () => drop.classList.remove("over"));
    drop.addEventListener("drop", (event) => { event.preventDefault(); this.take(event.dataTransfer); });
  }

  take(source) {
    for (const file of source.files) {
      const row = this.row(file);
      if (file.size > this.limit) row.end("failed", `is larger than ${size(this.limit)}`);
      else this.queue.push({ file, row });
    }
    if (source === $("files")) source.value = "";
    this.work();
  }

  async work() {
    if (this.busy) return;
    this.busy = true;
    while (this.queue.length) await this.send(this.queue.shift());
    this.busy = false;
  }

  row(file) {
    const bar = make("progress", { max: 1, value: 0, "aria-label": `Progress of ${file.name}` });
    const words = make("span", { className: "faint" }, "waits");
    const item = make("li", {}, make("strong", {}, file.name), words, bar);
    $("jobs").prepend(item);
    return {
      tell: (text, part) => {
        words.textContent = text;
        if (part === null) bar.removeAttribute("value");
        else bar.value = part;
      },
      end: (state, text) => {
        item.dataset.state = state;
        words.textContent = text;
        bar.remove();
      },
    };
  }

  send({ file, row }) {
    return new Promise((resolve) => {
      const request = new XMLHttpRequest(); // fetch tells nothing of how far a body is sent
      request.open("POST", at(`api/uploads?${new URLSearchParams({ name: file.name || "upload" })}`));
      request.setRequestHeader("X-Mmpt", "1");
      request.setRequestHeader("Content-Type", "application/octet-stream");
      request.responseType = "json";
      request.upload.addEventListener("progress", (event) => {
        row.tell(`sent ${size(event.loaded)} of ${size(file.size)}`, event.loaded / Math.max(file.size, 1));
      });
      request.addEventListener("load", () => {
        const told = request.response || {};
        if (request.status === 202) this.follow(told, row);
        else row.end("failed", [told.detail || `the server answered ${request.status}`, told.hint].filter(Boolean).join("; "));
        resolve();
      });
      request.addEventListener("error", () => {
        row.end("failed", "the connection broke, or the server refused the file before it was sent");
        resolve();
      });
      request.send(file);
    });
  }

  async follow(upload, row) {
    let now = upload;
    try {
      while (now.state === "waiting" || now.state === "working") {
        const done = now.seconds ? `looks through it: ${duration(now.seconds)} done` : "looks through it";
        row.tell(now.state === "waiting" ? "waits for its turn" : done, null);
        await new Promise((resolve) => setTimeout(resolve, LOOK));
        now = await get(`api/uploads/${upload.id}`);
      }
    } catch (error) {
      row.end("failed", `${error.message}; ${error.hint}`);
      return;
    }
    row.end(now.state, ENDED[now.state] || now.detail);
    if (now.state === "added") this.added();
  }
}
