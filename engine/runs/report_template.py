"""The frame of a report: one HTML page with its style and the script that draws its charts, and nothing loaded."""

from string import Template

PAGE = Template("""\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="Content-Security-Policy"
  content="default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'">
<title>$title</title>
<link rel="icon" href="data:,">
<style>
:root { --ground: #FFFFFF; --card: #F6F3EF; --ink: #1E2227; --faint: #5F6670; --line: #E4DED6; --accent: #B45F24;
  --link: #9A4E19; }
@media (prefers-color-scheme: dark) {
  :root { --ground: #15181C; --card: #1E2329; --ink: #E8E6E3; --faint: #A3A9B2; --line: #323941; --accent: #E2935A;
    --link: #EBA777; }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--ground); color: var(--ink); font: 16px/1.55 "Source Sans 3", "Source Sans Pro",
  "Segoe UI", system-ui, Helvetica, Arial, sans-serif; }
main { max-width: 1080px; margin: 0 auto; padding: 32px 24px 64px; }
h1 { font-size: 2rem; line-height: 1.2; margin: 0 0 4px; overflow-wrap: anywhere; }
h2 { font-size: 1.35rem; margin: 44px 0 12px; }
h3 { font-size: 1.05rem; margin: 24px 0 8px; }
p { margin: 8px 0; overflow-wrap: anywhere; }
.faint, figcaption, caption { color: var(--faint); font-size: 0.9rem; }
.verdict { font-size: 1.2rem; margin: 20px 0 8px; padding: 14px 18px; background: var(--card);
  border-left: 4px solid var(--accent); border-radius: 8px; }
.note { padding: 10px 16px; background: var(--card); border: 1px solid var(--line); border-radius: 8px;
  white-space: pre-line; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: 0.95rem; font-variant-numeric: tabular-nums; }
th { text-align: left; font-weight: 600; color: var(--faint); white-space: nowrap; }
th, td { padding: 7px 14px 7px 0; border-bottom: 1px solid var(--line); vertical-align: top; }
.scores td { white-space: nowrap; }
.numbers td:nth-child(1) { font-weight: 600; }
.numbers td:nth-child(2) { white-space: nowrap; font-weight: 600; }
.facts td:first-child { color: var(--faint); width: 14rem; }
.facts td { overflow-wrap: anywhere; }
figure { margin: 0; }
img { display: block; max-width: 100%; height: auto; }
.grid img { width: min(100%, 760px); }
.strip { display: grid; grid-template-columns: repeat(auto-fill, minmax(150px, 1fr)); gap: 16px; }
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 440px), 1fr)); gap: 20px; }
.charts > div, .chart-alone { border: 1px solid var(--line); border-radius: 8px; padding: 12px 14px; min-width: 0; }
.chart-alone { margin-bottom: 12px; }
.charts h3 { margin: 0 0 6px; }
pre { background: var(--card); border: 1px solid var(--line); border-radius: 8px; padding: 12px 16px;
  font-size: 0.88rem; line-height: 1.45; white-space: pre-wrap; overflow-wrap: anywhere; margin: 8px 0; }
summary { cursor: pointer; color: var(--link); margin: 12px 0 4px; }
@media (max-width: 640px) { main { padding: 20px 16px 48px; } h1 { font-size: 1.6rem; } .verdict {
  font-size: 1.05rem; } .facts td:first-child { width: 9rem; } th, td { padding-right: 10px; }
  .scores td:nth-child(-n+2), .scores th { white-space: normal; } .scores td:nth-child(1) { min-width: 8rem; }
  .scores td:nth-child(2) { min-width: 6rem; } .numbers td:nth-child(2) { white-space: normal; } }
@media print { body { background: #FFFFFF; } section { break-inside: avoid; } }
</style>
</head>
<body>
<main>
$body
</main>
<script type="application/json" id="colours">$colours</script>
$charts
<script>$plotly</script>
<script>
const colours = JSON.parse(document.getElementById("colours").textContent);
const isDark = window.matchMedia("(prefers-color-scheme: dark)");
function draw() {
  const style = getComputedStyle(document.documentElement), look = (name) => style.getPropertyValue(name).trim();
  const replaced = colours[isDark.matches ? "dark" : "light"];
  const axis = { gridcolor: look("--line"), linecolor: look("--line"), zerolinecolor: look("--line"),
    tickcolor: look("--line"), title: { standoff: 8, font: { size: 13 } } };
  const template = { layout: {
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", xaxis: axis, yaxis: axis,
    font: { color: look("--ink"), family: getComputedStyle(document.body).fontFamily, size: 13 },
    hoverlabel: { bgcolor: look("--card"), bordercolor: look("--line"), font: { color: look("--ink") } },
  } };
  for (const place of document.querySelectorAll("[data-chart]")) {
    const text = document.getElementById(place.dataset.chart).textContent;
    const figure = JSON.parse(text.replace(/#0000[0-9a-f]{2}/g, (colour) => replaced[colour] || colour));
    Plotly.react(place, figure.data, { ...figure.layout, template }, { displayModeBar: false, responsive: true });
  }
}
draw();
isDark.addEventListener("change", draw);
for (const fold of document.querySelectorAll("details"))  // a chart that was hidden does not know its width
  fold.addEventListener("toggle",
    () => fold.querySelectorAll("[data-chart]").forEach((place) => Plotly.Plots.resize(place)));
</script>
</body>
</html>
""")
