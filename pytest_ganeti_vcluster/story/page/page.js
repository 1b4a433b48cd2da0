"use strict";
(() => {
  const svg = document.getElementById("picture");
  const geometry = JSON.parse(svg.dataset.geometry);
  const shapes = new Map();
  for (const one of svg.querySelectorAll("#shapes [data-e]")) shapes.set(one.dataset.e, one);
  const pen = document.createElement("canvas").getContext("2d");
  for (const text of svg.querySelectorAll("#shapes text")) {
    pen.font = `11px ${getComputedStyle(text).fontFamily}`;
    text.full = text.textContent;
    text.long = pen.measureText(text.full).width + 1;
  }
  const rows = [...document.querySelectorAll("#events tbody tr")];
  for (const row of rows) row.words = row.textContent.toLowerCase();
  const controls = { node: document.getElementById("node"), level: document.getElementById("level"), text: document.getElementById("text") };
  const whole = document.getElementById("whole");
  let first = geometry.first, last = geometry.last;

  const inner = geometry.width - geometry.left - geometry.right;
  const x = (seconds) => geometry.left + ((seconds - first) / (last - first)) * inner;
  const seconds = (event) => {
    const box = svg.getBoundingClientRect();
    const at = ((event.clientX - box.left) / box.width) * geometry.width;
    return first + (Math.min(geometry.width - geometry.right, Math.max(geometry.left, at)) - geometry.left) / inner * (last - first);
  };

  function place() {
    for (const rect of svg.querySelectorAll("#shapes rect[data-a]")) {
      const a = x(+rect.dataset.a), b = x(+rect.dataset.b);
      // What reaches far out of the picture is cut, so that its text is seen.
      const from = Math.max(a, geometry.left - 4), to = Math.min(b, geometry.width + 4);
      rect.setAttribute("x", from);
      rect.setAttribute("width", b < geometry.left - 4 || a > geometry.width ? 0 : Math.max(4, to - from));
      const text = rect.nextElementSibling;
      const room = Math.floor(((to - Math.max(a, geometry.left) - 9) / text.long) * text.full.length);
      text.setAttribute("x", Math.max(a, geometry.left) + 5);
      text.textContent = room < 3 || b < geometry.left ? "" : text.full.length <= room ? text.full : text.full.slice(0, room - 1) + "…";
    }
    for (const mark of svg.querySelectorAll("#shapes [data-m]"))
      mark.setAttribute("transform", mark.getAttribute("transform").replace(/translate\(\S+/, `translate(${x(+mark.dataset.m).toFixed(2)}`));
    const span = last - first;
    let step = 10 ** Math.floor(Math.log10(span / 10));
    step *= [1, 2, 5, 10].find((factor) => span / (step * factor) <= 10);
    const digits = Math.max(0, -Math.floor(Math.log10(step) + 1e-9));
    const axis = document.getElementById("axis");
    const model = axis.querySelector("g").cloneNode(true);
    axis.replaceChildren();
    for (let number = Math.ceil(first / step); number <= last / step; number++) {
      const tick = model.cloneNode(true), at = x(number * step);
      tick.querySelector("line").setAttribute("x1", at);
      tick.querySelector("line").setAttribute("x2", at);
      tick.querySelector("text").setAttribute("x", at);
      tick.querySelector("text").textContent = `${(number * step).toFixed(digits)} s`;
      axis.append(tick);
    }
  }

  function matcher(text) {
    const regex = text.match(/^\/(.*)\/$/);
    if (regex) try { const found = new RegExp(regex[1], "i"); return (words) => found.test(words); } catch { return () => true; }
    const low = text.toLowerCase();
    return (words) => words.includes(low);
  }

  function filter() {
    const kinds = new Set([...document.querySelectorAll("[data-kind]:checked")].map((one) => one.dataset.kind));
    const chosen = controls.node.selectedOptions[0], matches = matcher(controls.text.value.trim());
    const isWhole = first === geometry.first && last === geometry.last;
    let count = 0;
    for (const row of rows) {
      const data = row.dataset;
      const seen = kinds.has(data.kind) && +data.level >= +controls.level.value && matches(row.words)
        && (controls.node.value === "" || (data.node === chosen.dataset.node && data.cluster === chosen.dataset.cluster));
      const inside = isWhole || (+data.b >= first && +data.a <= last);
      row.hidden = !(seen && inside);
      count += !row.hidden;
      const shape = shapes.get(data.e);
      if (shape) shape.style.display = seen ? "" : "none";
    }
    document.getElementById("shown").textContent = count;
    whole.hidden = isWhole;
  }

  function look(from, to) { first = from; last = to; place(); filter(); }

  for (const control of document.querySelectorAll(".filters input, .filters select")) control.addEventListener("input", filter);
  whole.addEventListener("click", () => look(geometry.first, geometry.last));
  svg.addEventListener("dblclick", () => look(geometry.first, geometry.last));

  const brush = document.getElementById("brush");
  let start = null;
  svg.addEventListener("pointerdown", (event) => { start = seconds(event); event.preventDefault(); });
  window.addEventListener("pointermove", (event) => {
    if (start === null) return;
    const now = seconds(event), from = Math.min(start, now), to = Math.max(start, now);
    brush.removeAttribute("hidden");
    brush.setAttribute("x", x(from));
    brush.setAttribute("width", x(to) - x(from));
  });
  window.addEventListener("pointerup", (event) => {
    if (start === null) return;
    const from = Math.min(start, seconds(event)), to = Math.max(start, seconds(event));
    start = null;
    brush.setAttribute("hidden", "hidden");
    if (x(to) - x(from) > 8) look(from, to);
  });

  const tip = document.getElementById("tip");
  const find = (event) => event.target.closest && event.target.closest("#shapes [data-e]");
  svg.addEventListener("pointermove", (event) => {
    const shape = find(event);
    for (const one of svg.querySelectorAll(".hover")) one.classList.remove("hover");
    tip.hidden = !shape || start !== null;
    if (tip.hidden) return;
    shape.classList.add("hover");
    const cells = rows[+shape.dataset.e].cells, what = cells[5].querySelector("summary") || cells[5];
    tip.textContent = `${cells[0].textContent} s   ${cells[2].textContent}   ${cells[4].textContent}\n${what.textContent}`;
    tip.style.left = `${Math.min(event.clientX + 14, innerWidth - tip.offsetWidth - 10)}px`;
    tip.style.top = `${event.clientY + 18 + tip.offsetHeight > innerHeight ? event.clientY - tip.offsetHeight - 12 : event.clientY + 18}px`;
  });
  svg.addEventListener("pointerleave", () => { tip.hidden = true; });
  svg.addEventListener("click", (event) => {
    const shape = find(event);
    if (!shape) return;
    for (const row of document.querySelectorAll("tr.found")) row.classList.remove("found");
    const row = rows[+shape.dataset.e];
    row.classList.add("found");
    row.hidden = false;
    const details = row.querySelector("details");
    if (details) details.open = true;
    row.scrollIntoView({ block: "center", behavior: "smooth" });
  });
  place();
  filter();
})();
