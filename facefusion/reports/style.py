"""The look of `report.html`: one style sheet, light and dark."""

STYLE = """
:root {
  color-scheme: light dark;
  --page: #f4f3ef; --card: #ffffff; --line: #e6e3dc; --ink: #1d2126; --soft: #6b7078; --faint: #9a9ea5;
  --done: #17876d; --done-soft: #dff2ec; --none: #d99a2b; --none-soft: #fbf0da;
  --failed: #cf4b43; --failed-soft: #fbe5e2; --track: #eeece6;
  --s0: #2f6f9f; --s1: #17876d; --s2: #d99a2b; --s3: #8a5fb0; --s4: #c2607a; --s5: #7d8694;
  --shadow: 0 1px 2px rgb(30 30 20 / .05), 0 8px 24px -12px rgb(30 30 20 / .12);
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #101215; --card: #191c21; --line: #2a2e35; --ink: #eceef1; --soft: #a0a6b0; --faint: #737a85;
    --done: #3fbf9d; --done-soft: #16342d; --none: #e3ae4e; --none-soft: #382c14;
    --failed: #ec7268; --failed-soft: #3d1f1d; --track: #24282e;
    --s0: #5f9fd0; --s1: #3fbf9d; --s2: #e3ae4e; --s3: #b28ad6; --s4: #e08aa0; --s5: #97a0ae;
    --shadow: none;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0; background: var(--page); color: var(--ink);
  font: 15px/1.5 ui-sans-serif, system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif;
  font-variant-numeric: tabular-nums;
}
main { max-width: 1160px; margin: 0 auto; padding: 40px 28px 56px; }
header { display: flex; align-items: baseline; justify-content: space-between; gap: 24px; flex-wrap: wrap; }
h1 { margin: 0; font-size: 30px; line-height: 1.2; font-weight: 680; letter-spacing: -.02em; }
header p { margin: 0; color: var(--soft); }
h2 { margin: 0 0 4px; font-size: 16px; font-weight: 650; letter-spacing: -.005em; }
.hint { margin: 0 0 18px; color: var(--soft); font-size: 13px; }
.grid { display: grid; grid-template-columns: repeat(12, 1fr); gap: 18px; margin-top: 26px; }
.card {
  grid-column: span 12; background: var(--card); border: 1px solid var(--line); border-radius: 16px;
  padding: 22px 24px; box-shadow: var(--shadow); min-width: 0;
}
.c3 { grid-column: span 3; } .c4 { grid-column: span 4; } .c6 { grid-column: span 6; }
.column { display: flex; flex-direction: column; gap: 18px; }
.column .card:first-child { flex: 1; }
.figure { display: flex; flex-direction: column; justify-content: space-between; min-height: 122px; }
.figure .name { color: var(--soft); font-size: 13px; }
.figure .value { font-size: 36px; line-height: 1.1; font-weight: 660; letter-spacing: -.025em; }
.figure .value small {
  font-size: 17px; font-weight: 500; color: var(--soft); letter-spacing: 0; margin-left: 5px;
}
.figure .more { color: var(--soft); font-size: 13px; }
.rate { flex-direction: row; align-items: center; justify-content: flex-start; gap: 20px; }
.rate svg { width: 92px; height: 92px; flex: none; }
svg text { font-family: inherit; fill: var(--soft); font-size: 12px; }
svg .grid-line { stroke: var(--line); stroke-width: 1; }
svg text.sum { font-size: 11px; }
svg text.big { fill: var(--ink); font-weight: 660; font-size: 25px; letter-spacing: -.02em; }
.fill-done { fill: var(--done); } .fill-none { fill: var(--none); } .fill-failed { fill: var(--failed); }
.ring { fill: none; stroke-width: 11; }
.ring-track { stroke: var(--track); }
.ring-done { stroke: var(--done); }
.area { fill: var(--s0); fill-opacity: .12; }
.line { fill: none; stroke: var(--s0); stroke-width: 2; stroke-linejoin: round; }
.dot { fill: var(--s0); }
.hover { fill: transparent; } .hover:hover { fill: var(--ink); fill-opacity: .06; }
.legend { display: flex; gap: 18px; flex-wrap: wrap; font-size: 13px; color: var(--soft); }
.legend i { display: inline-block; width: 10px; height: 10px; border-radius: 3px; margin-right: 7px; }
.head { display: flex; justify-content: space-between; gap: 20px; flex-wrap: wrap; }
.chart { display: block; width: 100%; height: auto; margin-top: 8px; }
.chart.small { max-width: 560px; }
.bars { display: grid; gap: 13px; }
.bar .row { display: flex; justify-content: space-between; gap: 14px; font-size: 14px; }
.bar .row span:first-child { overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
.bar .row span:last-child { color: var(--soft); white-space: nowrap; }
.bar .lane { height: 8px; border-radius: 4px; background: var(--track); margin-top: 5px; overflow: hidden; }
.bar .lane b { display: block; height: 100%; border-radius: 4px; background: var(--s0); min-width: 3px; }
.stack { display: flex; gap: 2px; height: 26px; border-radius: 8px; overflow: hidden; margin-bottom: 18px; }
.stack b { min-width: 2px; }
.stages { display: grid; gap: 9px; font-size: 14px; }
.stages div { display: grid; grid-template-columns: 18px 1fr auto 52px; align-items: baseline; }
.stages i { width: 10px; height: 10px; border-radius: 3px; }
.stages em { font-style: normal; color: var(--soft); }
.stages em:last-child { text-align: right; }
.remedies { display: grid; gap: 0; }
.remedy {
  display: grid; grid-template-columns: 46px 1fr; gap: 4px 14px; padding: 14px 0;
  border-top: 1px solid var(--line);
}
.remedy:first-child { border-top: 0; padding-top: 0; } .remedy:last-child { padding-bottom: 0; }
.remedy .count {
  grid-row: span 2; height: 38px; border-radius: 10px; display: grid; place-items: center;
  background: var(--failed-soft); color: var(--failed); font-weight: 660;
}
.remedy strong { font-weight: 620; } .remedy p { margin: 0; color: var(--soft); font-size: 14px; }
.scroll { overflow-x: auto; }
/* A chart that is too wide begins at its right end, where the latest days are. */
.scroll.latest { direction: rtl; } .scroll.latest > * { direction: ltr; }
table { width: 100%; border-collapse: collapse; font-size: 14px; }
th {
  text-align: left; font-weight: 500; color: var(--soft); font-size: 13px;
  padding: 0 14px 8px 0; white-space: nowrap;
}
td { padding: 10px 14px 10px 0; border-top: 1px solid var(--line); vertical-align: top; }
th:last-child, td:last-child { padding-right: 0; }
td.number, th.number { text-align: right; white-space: nowrap; }
td.when { color: var(--soft); white-space: nowrap; }
td.name { min-width: 110px; max-width: 320px; overflow-wrap: break-word; }
.remarks { color: var(--soft); font-size: 13px; margin-left: 6px; white-space: nowrap; }
td .unit { display: none; }
td p { margin: 2px 0 0; color: var(--soft); }
a { color: inherit; text-decoration-color: var(--faint); text-underline-offset: 3px; }
a:hover { text-decoration-color: currentColor; }
.chip {
  display: inline-block; border-radius: 999px; padding: 1px 10px; font-size: 12.5px;
  font-weight: 560; white-space: nowrap;
}
.chip.done { background: var(--done-soft); color: var(--done); }
.chip.no_face { background: var(--none-soft); color: var(--none); }
.chip.failed, .chip.blocked { background: var(--failed-soft); color: var(--failed); }
.well { display: grid; place-items: center; gap: 10px; padding: 26px 0 18px; color: var(--soft); margin: 0; }
.well b {
  display: grid; place-items: center; width: 64px; height: 64px; border-radius: 50%;
  background: var(--done-soft); color: var(--done); font-size: 30px;
}
.nothing { color: var(--soft); margin: 0; }
footer { margin-top: 28px; color: var(--faint); font-size: 13px; }
@media (max-width: 900px) { .c3 { grid-column: span 6; } .c4, .c6 { grid-column: span 12; } }
@media (max-width: 520px) {
  main { padding: 24px 12px; } .grid { gap: 12px; } .card { padding: 18px 16px; }
  .figure .value { font-size: 29px; } .rate { gap: 12px; } .rate svg { width: 74px; height: 74px; }
  .chart.wide { min-width: 700px; }
  /* Rows of a table stand one below the other, without its head. */
  table, tbody, tr, td.when, td.name, td:last-child { display: block; } tr:first-child { display: none; }
  tr { padding: 12px 0; border-top: 1px solid var(--line); }
  tr:nth-child(2) { border-top: 0; padding-top: 0; }
  td { display: inline-block; border: 0; padding: 1px 12px 1px 0; } td.name { max-width: none; }
  td.when + td.name { font-weight: 560; } td.name:empty { display: none; }
  td.number, td.number:last-child { display: inline-block; } td .unit { display: inline; }
}
@media print { body { background: #fff; } .card { break-inside: avoid; box-shadow: none; } }
"""
