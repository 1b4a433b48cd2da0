"use strict";
(() => {
  const plots = JSON.parse(document.getElementById("plots").textContent);
  const root = document.documentElement;
  const drawn = new Map();
  let scales = "linear";

  const colour = (name) => getComputedStyle(root).getPropertyValue(name).trim();

  // What the page decides for a plot: colours for light or dark, and axes.
  function dress(plot) {
    const change = {
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
      font: { color: colour("--ink"), family: "system-ui, 'Segoe UI', 'DejaVu Sans', sans-serif", size: 12 },
      "title.font.size": 14, "title.x": 0.01, "title.xanchor": "left",
      "modebar.bgcolor": "rgba(0,0,0,0)", "modebar.color": colour("--soft"), "modebar.activecolor": colour("--link"),
      "hoverlabel.bgcolor": colour("--card"), "hoverlabel.bordercolor": colour("--line"), "hoverlabel.font.color": colour("--ink"),
    };
    for (const axis of ["xaxis", "yaxis"]) {
      change[axis + ".gridcolor"] = colour("--line");
      change[axis + ".zerolinecolor"] = colour("--line");
      change[axis + ".linecolor"] = colour("--soft");
    }
    if (plot.scales) {
      const log = scales === "log";
      change["xaxis.type"] = change["yaxis.type"] = scales;
      change["xaxis.autorange"] = change["yaxis.autorange"] = true;
      // Logarithmic axes are marked at the sizes that were measured, and in tens.
      change["xaxis.tickmode"] = log ? "array" : "auto";
      change["xaxis.tickvals"] = log ? plot.figure.layout.meta.sizes : null;
      change["yaxis.dtick"] = log ? "D2" : null;
      change["yaxis.tickformat"] = log ? "~r" : "";
    }
    return change;
  }

  // A size of 0 has no place on a logarithmic axis; drawn nevertheless, its line would lead out of the plot.
  function placed(plot) {
    const log = plot.scales && scales === "log";
    return { x: plot.figure.data.map((one) => log ? one.x.map((size) => size > 0 ? size : null) : one.x) };
  }

  const apply = (plot) => Plotly.update(plot.id, placed(plot), dress(plot));

  async function draw(plot) {
    if (drawn.has(plot.id)) { return; }
    drawn.set(plot.id, plot);
    const { data, layout } = structuredClone(plot.figure);
    await Plotly.newPlot(plot.id, data, layout, {
      // These buttons and no others: some of the library's own lead to its makers' servers.
      responsive: true, displaylogo: false, displayModeBar: "hover",
      modeBarButtons: [["toImage", "zoom2d", "pan2d", "zoomIn2d", "zoomOut2d", "resetScale2d"]],
    });
    await apply(plot);
  }

  function redress() {
    drawn.forEach(apply);
  }

  function press(name, value) {
    for (const button of document.querySelectorAll(`button[data-${name}]`)) {
      button.setAttribute("aria-pressed", String(button.dataset[name] === value));
    }
  }

  for (const button of document.querySelectorAll("button[data-scales]")) {
    button.addEventListener("click", () => { scales = button.dataset.scales; press("scales", scales); redress(); });
  }
  const dark = matchMedia("(prefers-color-scheme: dark)");
  function theme(value) { root.dataset.theme = value; press("theme", value); redress(); }
  for (const button of document.querySelectorAll("button[data-theme]")) {
    button.addEventListener("click", () => theme(button.dataset.theme));
  }
  dark.addEventListener("change", () => theme(dark.matches ? "dark" : "light"));
  theme(dark.matches ? "dark" : "light");

  // A large sweep has a hundred plots: each is drawn when it comes into sight, or before the page is printed.
  const watcher = new IntersectionObserver((seen) => {
    for (const one of seen) {
      if (one.isIntersecting) { watcher.unobserve(one.target); draw(plots.find((plot) => plot.id === one.target.id)); }
    }
  }, { rootMargin: "400px" });
  for (const plot of plots) { watcher.observe(document.getElementById(plot.id)); }
  addEventListener("beforeprint", () => plots.forEach(draw));
})();
