"use strict";
// Draws the charts of the page: colours are roles that get their value by theme, so a change of theme redraws.
(async () => {
  const THEMES = {
    light: {
      ink: "#1d1f23", muted: "#666b75", grid: "#e9e9e5", card: "#ffffff", band: "#c9d8f5",
      ensemble: "#2459c9", champion: "#d9541e", truth: "#148f63", default: "#8a56c4", base: "#8b9099",
      catboost: "#b98400", xgboost: "#0c8c99", lightgbm: "#5f9e2f", forest: "#b5487f",
      good: "#14764f", bad: "#c22f25", undecided: "#8b9099", low: "#2f6fde", high: "#e0483e",
      view: "#2459c9", "view-band": "rgba(36,89,201,0.16)", cart: "#d9541e", "cart-band": "rgba(217,84,30,0.16)",
      part0: "rgba(29,31,35,0.035)", part1: "rgba(29,31,35,0.075)", test: "rgba(36,89,201,0.10)", outage: "rgba(194,47,37,0.14)",
      shade0: "#dfe5ee", shade1: "#bccbe4", shade2: "#93add8", shade3: "#648cca", shade4: "#3565bd", shade5: "#10337f",
      diverging: [[0, "#2f6fde"], [0.5, "#c3b4c8"], [1, "#e0483e"]],
    },
    dark: {
      ink: "#e9e9e6", muted: "#a1a6b0", grid: "#2a2d33", card: "#1a1c20", band: "#2f4570",
      ensemble: "#78a7ff", champion: "#ff9663", truth: "#52cd9c", default: "#c39af2", base: "#8b9099",
      catboost: "#e2b53c", xgboost: "#4cc6d2", lightgbm: "#9bd46a", forest: "#ee8cbb",
      good: "#5bc796", bad: "#ff8f85", undecided: "#8b9099", low: "#5b95ff", high: "#ff6f64",
      view: "#78a7ff", "view-band": "rgba(120,167,255,0.2)", cart: "#ff9663", "cart-band": "rgba(255,150,99,0.2)",
      part0: "rgba(255,255,255,0.03)", part1: "rgba(255,255,255,0.065)", test: "rgba(120,167,255,0.14)", outage: "rgba(255,143,133,0.2)",
      shade0: "#2b313c", shade1: "#34435e", shade2: "#415d8e", shade3: "#557fc4", shade4: "#78a7ff", shade5: "#d3e2ff",
      diverging: [[0, "#5b95ff"], [0.5, "#8a7f92"], [1, "#ff6f64"]],
    },
  };
  const FONT = getComputedStyle(document.body).fontFamily;
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const figures = JSON.parse(document.getElementById("figures").textContent);
  const hidden = new Set();
  const drawn = new Map();

  async function loadPlotly() {
    const packed = Uint8Array.from(atob(document.getElementById("plotly").textContent), (c) => c.charCodeAt(0));
    const plain = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
    const source = URL.createObjectURL(new Blob([await new Response(plain).arrayBuffer()], { type: "text/javascript" }));
    await new Promise((done, failed) => {
      const script = Object.assign(document.createElement("script"), { src: source, onload: done, onerror: failed });
      document.head.append(script);
    });
    URL.revokeObjectURL(source);
  }

  const coloured = (value, theme) => {
    if (typeof value === "string") return value[0] === "@" ? theme[value.slice(1)] ?? value : value;
    if (Array.isArray(value)) {
      return typeof value[0] === "number" || value[0] === null ? value : value.map((one) => coloured(one, theme));
    }
    if (value && typeof value === "object") {
      return Object.fromEntries(Object.entries(value).map(([name, one]) => [name, coloured(one, theme)]));
    }
    return value;
  };

  function axisOf(given, theme) {
    const title = given.title ? { ...given.title, standoff: 8, font: { size: 12, color: theme.muted } } : undefined;
    return {
      gridcolor: theme.grid, linecolor: theme.grid, zeroline: false, automargin: true, fixedrange: true,
      tickfont: { size: 11, color: theme.muted }, ticklabeloverflow: "allow", ...given, title,
    };
  }

  function layoutOf(given, theme) {
    return {
      margin: { l: 8, r: 18, t: given.xaxis?.side === "top" ? 30 : 18, b: 8 },
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", showlegend: false, dragmode: false,
      font: { family: FONT, size: 12, color: theme.ink },
      hoverlabel: { bgcolor: theme.card, bordercolor: theme.muted, font: { family: FONT, size: 12, color: theme.ink }, align: "left" },
      hovermode: "closest", ...given, xaxis: axisOf(given.xaxis ?? {}, theme), yaxis: axisOf(given.yaxis ?? {}, theme),
    };
  }

  function draw(id, theme) {
    const chart = document.getElementById(id);
    const { data, layout } = coloured(figures[id], theme);
    for (const trace of data) {
      const key = `${chart.closest("figure").dataset.number}/${trace.meta}`;
      if (trace.meta && drawn.has(id)) trace.visible = !hidden.has(key);
      else if (trace.visible === false) hidden.add(key);
    }
    drawn.set(id, true);
    return Plotly.react(chart, data, layoutOf(layout, theme), { displayModeBar: false, responsive: true });
  }

  async function drawAll(name) {
    const theme = THEMES[name];
    for (const mark of document.querySelectorAll("svg[data-role]")) mark.style.color = theme[mark.dataset.role.slice(1)];
    for (const id of Object.keys(figures)) {
      await draw(id, theme);
      await new Promise((next) => setTimeout(next)); // lets the page answer in between
    }
    document.documentElement.dataset.charts = String(drawn.size);
  }

  function listen() {
    document.querySelectorAll("figure").forEach((figure, number) => {
      figure.dataset.number = String(number);
      figure.querySelectorAll("button.key").forEach((button) => button.addEventListener("click", () => {
        const shown = button.getAttribute("aria-pressed") !== "true";
        const key = `${number}/${button.dataset.meta}`;
        button.setAttribute("aria-pressed", String(shown));
        shown ? hidden.delete(key) : hidden.add(key);
        for (const chart of figure.querySelectorAll(".chart")) {
          const rows = (chart.data ?? []).flatMap((trace, row) => (trace.meta === button.dataset.meta ? [row] : []));
          if (rows.length) Plotly.restyle(chart, { visible: shown }, rows);
        }
      }));
    });
    const links = new Map([...document.querySelectorAll("nav a")].map((link) => [link.hash.slice(1), link]));
    const seen = new IntersectionObserver((entries) => {
      for (const { isIntersecting, target } of entries) {
        if (!isIntersecting) continue;
        links.forEach((link) => link.classList.remove("here"));
        links.get(target.id)?.classList.add("here");
      }
    }, { rootMargin: "-20% 0px -70% 0px" });
    document.querySelectorAll("main > section").forEach((section) => seen.observe(section));
  }

  const theme = () => (dark.matches ? "dark" : "light");
  listen();
  await loadPlotly();
  await drawAll(theme());
  dark.addEventListener("change", () => drawAll(theme()));
  addEventListener("beforeprint", () => Object.keys(figures).forEach((id) => draw(id, THEMES.light)));
  addEventListener("afterprint", () => drawAll(theme()));
})().catch((error) => {
  const notice = Object.assign(document.createElement("p"), { className: "notice" });
  notice.textContent = `The charts could not be drawn (${error.message ?? error}). A browser of 2023 or later can.`;
  document.querySelector("main").prepend(notice);
  throw error;
});
