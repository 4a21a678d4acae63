"""How a report looks, and the little that it does when it is clicked."""

STYLE = """
:root {
  --paper: #fbfaf7; --card: #ffffff; --ink: #1d1f24; --soft: #626773; --rule: #e3e1da;
  --accent: #0b6e99; --warm: #c2510c; --good: #1a7f4b; --bad: #b3372f; --track: #eceae4;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #14161a; --card: #1c1f25; --ink: #e8e6e1; --soft: #9aa0ac; --rule: #2f333c;
    --accent: #58b7dd; --warm: #f0935a; --good: #5fc992; --bad: #ef8a82; --track: #2a2e36;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0; background: var(--paper); color: var(--ink);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif;
}
main { max-width: 1020px; margin: 0 auto; padding: 2.2rem 1.1rem 4rem; }
h1 { font-size: clamp(1.6rem, 4.6vw, 2.3rem); line-height: 1.2; margin: 0 0 .5rem; letter-spacing: -.015em; }
h2 { font-size: 1.25rem; margin: 2.8rem 0 .3rem; letter-spacing: -.01em; }
p { margin: .3rem 0 .9rem; max-width: 68ch; }
small, .soft { color: var(--soft); font-size: .86rem; }
code { font: .88em ui-monospace, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace; }
pre { overflow-x: auto; background: var(--card); border: 1px solid var(--rule); border-radius: 8px; }
pre { padding: .8rem 1rem; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(150px, 1fr)); gap: .7rem; margin: 1.3rem 0; }
.tile, .card { background: var(--card); border: 1px solid var(--rule); border-radius: 10px; padding: .8rem 1rem; }
.tile b { display: block; font-size: 1.75rem; line-height: 1.2; font-variant-numeric: tabular-nums; }
.tile small { display: block; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th { text-align: left; font-weight: 600; font-size: .84rem; color: var(--soft); }
th, td { padding: .42rem .7rem .42rem 0; border-bottom: 1px solid var(--rule); vertical-align: middle; }
td.n, th.n { text-align: right; white-space: nowrap; }
tr.own td { font-weight: 600; }
.bar { position: relative; display: block; min-width: 150px; height: 14px; border-radius: 3px; }
.bar { background: var(--track); }
.bar b { position: absolute; top: 0; bottom: 0; }
.bar .fill { left: 0; background: var(--accent); border-radius: 3px; }
.bar .interval { top: 6px; bottom: 6px; background: var(--ink); opacity: .55; }
.bar .mark { width: 2px; top: -3px; bottom: -3px; background: var(--warm); }
.key { display: inline-block; width: 12px; height: 12px; border-radius: 2px; margin: 0 .3rem 0 .8rem; }
.key:first-child { margin-left: 0; }
.chart { width: 100%; height: auto; display: block; }
.chart text { fill: var(--soft); font-size: 11px; }
.chart .grid { stroke: var(--rule); fill: none; }
.chart .line { fill: none; stroke-width: 2; stroke-linejoin: round; }
.chart .training { stroke: var(--accent); }
.chart .line.validation { stroke: var(--warm); stroke-dasharray: 5 4; }
.chart circle.validation { fill: var(--warm); }
.watch { display: grid; grid-template-columns: minmax(150px, 210px) 1fr; gap: 1.1rem; align-items: start; }
.watch > div { min-width: 0; }
.watch video { width: 100%; border-radius: 8px; display: block; background: #000; }
.thumbs { display: flex; border-radius: 4px; overflow: hidden; margin-bottom: .5rem; }
.thumbs img { flex: 1 1 0; min-width: 0; aspect-ratio: 1; object-fit: cover; cursor: pointer; }
.strip { margin: 0 0 .75rem; }
.strip figcaption { font-size: .92rem; line-height: 1.35; margin-bottom: .18rem; }
.strip figcaption small { margin-left: .6rem; white-space: nowrap; }
.strip.hit small::before { content: "\\2713 "; color: var(--good); font-weight: 700; }
.strip.miss small::before { content: "\\2717 "; color: var(--bad); font-weight: 700; }
.cells { position: relative; height: 20px; background: var(--track); border-radius: 3px; }
.cells svg { width: 100%; height: 100%; display: block; cursor: pointer; border-radius: 3px; }
.cells rect { fill: var(--accent); }
.truth { position: absolute; top: -2px; bottom: -2px; border: 2px solid var(--warm); border-radius: 3px; }
.truth { pointer-events: none; }
.query { margin: 1.1rem 0; }
.query > p { margin: 0 0 .6rem; font-weight: 600; }
.hits { display: grid; grid-template-columns: repeat(3, 1fr); gap: .8rem; }
.hit-card video { width: 100%; aspect-ratio: 1; border-radius: 8px; display: block; background: #000; }
.hit-card.right video { outline: 3px solid var(--good); outline-offset: 1px; }
.hit-card small { display: block; margin-top: .4rem; line-height: 1.4; }
.yes, .no { display: inline-block; }
.yes { color: var(--good); } .no { color: var(--bad); }
@media (max-width: 620px) {
  .watch { grid-template-columns: 1fr; }
  th:first-child, td:first-child { min-width: 8.2rem; }
  td.n, th.n { padding-right: .45rem; }
  .bar { min-width: 62px; }
  .chart text { font-size: 19px; }
  .watch video { max-width: 240px; margin: 0 auto; }
  .strip figcaption small { display: block; margin-left: 0; }
  .hits { gap: .5rem; }
  .hit-card small { font-size: .76rem; }
}
"""

SCRIPT = """
for (const box of document.querySelectorAll(".watch")) {
  const film = box.querySelector("video");
  box.addEventListener("click", event => {
    const second = event.target.dataset && event.target.dataset.second;
    if (film && second !== undefined) { film.currentTime = Number(second); film.play(); }
  });
}
const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
const seen = new IntersectionObserver(entries => {
  for (const entry of entries) { entry.isIntersecting && !still ? entry.target.play() : entry.target.pause(); }
});
for (const film of document.querySelectorAll(".hit-card video")) { seen.observe(film); }
"""
