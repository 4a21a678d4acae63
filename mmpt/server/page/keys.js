// Keys that work anywhere on the page, but not while one types or a dialog is open. Single letters, digits and signs can
// be turned off, for those who speak to their browser or press keys by mistake.

import { $ } from "./dom.js";

const MODES = { 1: "both", 2: "seen", 3: "said" };

export function listen({ player, step, closePlayer, toggleFilters, mode }) {
  $("keys").checked = localStorage.getItem("keys") !== "off";
  $("keys").addEventListener("change", () => localStorage.setItem("keys", $("keys").checked ? "on" : "off"));
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
    if (document.querySelector("dialog[open]")) return;
    const target = event.target;
    if (event.key === "Escape" && target !== $("q") && player.shown) return closePlayer();
    if (event.key === "Escape" && target === $("q")) return target.blur();
    if (types(target)) return event.key === "ArrowDown" && target === $("q") ? down(event) : undefined;
    if (event.key.length === 1 && event.key !== " " && !$("keys").checked) return;
    act(event, { player, step, toggleFilters, mode });
  });
}

function act(event, { player, step, toggleFilters, mode }) {
  const presses = event.target.closest?.("button, a, summary, video, [role=slider]");
  const keys = {
    "/": () => { $("q").focus(); $("q").select(); },
    "?": () => $("help").showModal(),
    f: toggleFilters,
    n: () => step(1),
    p: () => step(-1),
    ",": () => player.shown && player.skip(-5),
    ".": () => player.shown && player.skip(5),
    k: () => player.shown && player.toggle(),
  };
  if (event.key === " " && player.shown && (!presses || presses.matches("a, [role=slider]"))) keys[" "] = keys.k;
  const action = event.key in MODES ? () => mode(MODES[event.key]) : keys[event.key];
  if (!action) return;
  event.preventDefault();
  action();
}

function types(element) {
  return element.matches?.("input:not([type=radio]):not([type=checkbox]), textarea, select");
}

function down(event) {
  event.preventDefault();
  $("cards").querySelector(".name a")?.focus();
}
