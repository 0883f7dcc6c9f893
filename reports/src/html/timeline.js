// Zoom and hover for the timelines. Without it the page is whole, only still.
//
// A figure tells its window of time in data-window. Shapes are moved, not scaled, so that text,
// signs, strokes and hatches keep their form. A shape begins at its instant; data-width is the true
// width of what it stands for, where that is not its own.
(() => {
  "use strict";

  // The drawing is exact to a tenth of a pixel: beyond this, its rounding would show.
  const MOST = 64;
  // The narrowest mark and the width of a letter, as the figures are drawn with.
  const LEAST = 2;
  const LETTER = 6.4;

  const create = (name, attributes, text = "", parent = document.body) => {
    const made = document.createElementNS(parent.namespaceURI, name);
    for (const key in attributes) made.setAttribute(key, attributes[key]);
    made.textContent = text;
    return made;
  };
  const number = (shape, name) => Number(shape.getAttribute(name));
  const seconds = (ns, decimals) => `${(ns / 1e9).toFixed(decimals)} s`;
  const clamp = (value, least, most) => Math.max(least, Math.min(most, value));

  // What is seen of a figure: `from` and `to` are x of the figure as it was drawn.
  class View {
    constructor(svg) {
      [this.startNs, this.endNs, this.left, this.right] = svg.dataset.window.split(" ").map(Number);
      [this.from, this.to, this.width] = [this.left, this.right, this.right - this.left];
    }
    get factor() { return this.width / (this.to - this.from); }
    at(x) { return this.left + (x - this.from) * this.factor; }
    back(x) { return this.from + (x - this.left) / this.factor; }
    ns(x) { return this.startNs + ((x - this.left) / this.width) * (this.endNs - this.startNs); }
    x(ns) { return this.left + ((ns - this.startNs) / (this.endNs - this.startNs)) * this.width; }
    inside(x) { return x > this.left - 0.1 && x < this.right + 0.1; }
    cut(x) { return clamp(x, this.left, this.right); }
    // The part of a range that is seen, if any.
    part(x, width, least = 0) {
      const [a, b] = [this.at(x), Math.max(this.at(x + width), this.at(x) + least)];
      const seen = b > this.left && a < this.right;
      return seen && { a: this.cut(a), b: this.cut(b), whole: this.inside(a) && this.inside(b) };
    }
    // An instant with the decimals that tell it from the next pixel's.
    instant(x) {
      const pixel = (this.ns(this.to) - this.ns(this.from)) / 1e9 / this.width;
      return seconds(this.ns(x), clamp(Math.ceil(-Math.log10(pixel)), 2, 6));
    }
    show(from, to) {
      const width = clamp(to - from, this.width / MOST, this.width);
      this.from = clamp((from + to - width) / 2, this.left, this.right - width);
      this.to = this.from + width;
    }
  }

  const set = (shape, shown, attributes) => {
    // Most shapes are out of sight and stay so: leaving them alone is what makes it fast.
    if (!shown !== (shape.style.display === "none")) shape.style.display = shown ? "" : "none";
    if (shown) for (const key in attributes) shape.setAttribute(key, attributes[key].toFixed(1));
  };

  // Each reads a shape as it was drawn, and returns what puts it into the view.
  const placers = {
    line(shape, view) {
      const x = number(shape, "x1");
      return () => set(shape, view.inside(view.at(x)), { x1: view.at(x), x2: view.at(x) });
    },
    rect(shape, view) {
      const [x, drawn] = [number(shape, "x"), number(shape, "width")];
      const width = Number(shape.dataset.width ?? drawn);
      return () => {
        const part = view.part(x, width, Math.min(drawn, LEAST));
        set(shape, part, { x: part.a, width: part.b - part.a });
      };
    },
    text(shape, view) {
      const [x, width] = [number(shape, "x"), Number(shape.dataset.width)];
      if (!width) return () => set(shape, view.inside(view.at(x)), { x: view.at(x) });
      // A label stays on what is seen of its range, as long as there is the room it was drawn with.
      const share = { middle: 0.5, end: 1 }[shape.getAttribute("text-anchor")] ?? 0;
      const length = shape.textContent.length * LETTER;
      return () => {
        const { a, b, whole } = view.part(x - share * width, width);
        const last = view.right - (1 - share) * length;
        const shown = whole || b - a >= Math.min(length, width);
        set(shape, shown, { x: Math.min(a + share * (b - a), last) });
      };
    },
    path(shape, view) {
      const data = shape.getAttribute("d");
      const bars = [...data.matchAll(/M(\S+) (\S+)h([\d.]+)v([\d.]+)h-[\d.]+z/g)]
        .map(([, x, y, width, height]) => [Number(x), y, Number(width), height]);
      if (!bars.length) {
        const [, x, sign] = data.match(/^M(\S+)(.*)/);
        return () => {
          set(shape, view.inside(view.at(x)));
          shape.setAttribute("d", `M${view.at(x).toFixed(1)}${sign}`);
        };
      }
      return () => {
        const seen = bars.map(([x, y, width, height]) => {
          const { a, b } = view.part(x, width);
          const drawn = (b - a).toFixed(1);
          return a < b ? `M${a.toFixed(1)} ${y}h${drawn}v${height}h-${drawn}z` : "";
        });
        shape.setAttribute("d", seen.join(""));
      };
    },
  };
  const MOVING = "line:not(.rail,.grid,.ruler),rect:not(.selection),text:not(.lane,.axis),path";

  // About ten round instants, as the figure's own.
  const drawAxis = (svg, view, top, bottom) => {
    const [fromNs, toNs] = [view.ns(view.from), view.ns(view.to)];
    let step = 1;
    for (let n = 0; Math.floor((toNs - fromNs) / step) > 12; n++) step *= [2, 2.5, 2][n % 3];
    const decimals = Math.max(0, 9 - Math.floor(Math.log10(step)));
    const old = svg.querySelectorAll(".grid,.axis");
    for (let n = Math.ceil(fromNs / step); n * step <= toNs; n++) {
      const x = view.at(view.x(n * step)).toFixed(1);
      const label = { class: "axis", x, y: bottom + 14, "text-anchor": "middle" };
      (old[0] ?? svg.firstChild).before(
        create("line", { class: "grid", x1: x, x2: x, y1: top, y2: bottom }, "", svg),
        create("text", label, seconds(n * step, decimals), svg),
      );
    }
    for (const mark of old) mark.remove();
  };

  const tip = create("div", { class: "tip", hidden: "" });
  document.body.append(tip);
  const showTip = (words, { clientX, clientY }) => {
    tip.textContent = words.join("\n");
    tip.hidden = false;
    const beside = (at, size, room) =>
      `${at + 14 + size < room ? at + 14 : Math.max(0, at - 14 - size)}px`;
    tip.style.left = beside(clientX, tip.offsetWidth, document.body.clientWidth);
    tip.style.top = beside(clientY, tip.offsetHeight, innerHeight);
  };

  // The browser would show a title next to the tip, so it is taken out once it is known.
  const titles = new WeakMap();
  const titleOf = (shape) => {
    const title = shape.querySelector(":scope > title");
    if (title) titles.set(shape, title.textContent);
    title?.remove();
    return titles.get(shape);
  };

  const zoomable = (svg) => {
    const grid = svg.querySelector(".grid");
    if (!grid) return;
    const [top, bottom] = [number(grid, "y1"), number(grid, "y2")];
    const view = new View(svg);
    const box = svg.parentElement;
    const controls = create("div", { class: "zoom", role: "group", "aria-label": "Zoom" });
    const readout = create("output");
    const band = { class: "selection", y: top, height: bottom - top, width: 0 };
    const selection = create("rect", band, "", svg);
    const ruler = create("line", { class: "ruler", y1: top, y2: bottom }, "", svg);
    const leave = () => {
      tip.hidden = true;
      ruler.style.display = "none";
    };

    let places;
    const redraw = () => {
      // Most figures are never zoomed: the shapes are read when one is.
      places ??= Array.from(svg.querySelectorAll(MOVING), (shape) =>
        placers[shape.localName](shape, view));
      for (const place of places) place();
      drawAxis(svg, view, top, bottom);
      leave();
      const zoomed = view.factor > 1;
      const merged = view.factor >= 4 && svg.querySelector("path:is(.d0,.d1,.d2)");
      readout.textContent = zoomed ? `${view.instant(view.from)} to ${view.instant(view.to)}` : "";
      if (merged) readout.textContent += ", magnified: paler bars stand for several";
      for (const button of back) button.setAttribute("aria-disabled", !zoomed);
    };
    let frame;
    const show = (from, to) => {
      view.show(from, to);
      cancelAnimationFrame(frame);
      frame = requestAnimationFrame(redraw);
    };
    const shift = (share) => {
      const by = share * (view.to - view.from);
      show(view.from + by, view.to + by);
    };
    // What is at `x` stays there.
    const zoom = (by, x = (view.from + view.to) / 2) =>
      show(x - (x - view.from) / by, x + (view.to - x) / by);
    const reset = () => show(view.left, view.right);

    // Those that lead back towards the whole do nothing there.
    const back = [];
    const keys = { "=": () => zoom(2) };
    controls.append(readout);
    for (const [sign, label, key, act] of [
      ["\u25c0", "Earlier", "ArrowLeft", () => shift(-0.25)],
      ["\u25b6", "Later", "ArrowRight", () => shift(0.25)],
      ["\u2212", "Zoom out", "-", () => zoom(0.5)],
      ["+", "Zoom in", "+", keys["="]],
      ["Whole", "Whole figure", "0", reset],
    ]) {
      const button = create("button", { type: "button", "aria-label": label }, sign);
      if (key !== "+") {
        button.setAttribute("aria-disabled", true);
        back.push(button);
      }
      button.addEventListener("click", act);
      controls.append(button);
      keys[key] = act;
    }
    box.before(controls);
    box.addEventListener("keydown", (event) => {
      const act = !event.ctrlKey && !event.metaKey && !event.altKey && keys[event.key];
      // The arrows scroll a figure that is not zoomed.
      if (!act || (event.key.startsWith("Arrow") && view.factor === 1)) return;
      event.preventDefault();
      act();
    });

    svg.append(selection, ruler);
    leave();
    const pointed = ({ clientX, clientY }) =>
      new DOMPoint(clientX, clientY).matrixTransform(svg.getScreenCTM().inverse()).x;
    let pressed = null;
    const select = (x) => {
      selection.setAttribute("x", Math.min(x, pressed));
      selection.setAttribute("width", Math.abs(x - pressed));
    };
    const release = () => {
      select(pressed);
      pressed = null;
    };
    svg.addEventListener("pointerdown", (event) => {
      // A finger scrolls.
      if (event.button !== 0 || event.pointerType === "touch" || !view.inside(pointed(event))) return;
      svg.setPointerCapture(event.pointerId);
      pressed = view.cut(pointed(event));
    });
    svg.addEventListener("pointermove", (event) => {
      const x = pointed(event);
      if (pressed !== null) select(view.cut(x));
      if (!view.inside(x)) return leave();
      const faults = [...svg.querySelectorAll("rect.fault")].filter((fault) => {
        const begin = number(fault, "x");
        return fault.style.display === "" && begin <= x && x <= begin + number(fault, "width");
      });
      const words = new Set([event.target, ...faults].map(titleOf).filter(Boolean));
      showTip([view.instant(view.back(x)), ...words], event);
      ruler.style.display = "";
      ruler.setAttribute("x1", x);
      ruler.setAttribute("x2", x);
    });
    svg.addEventListener("pointerup", (event) => {
      if (pressed === null) return;
      const [from, to] = [pressed, view.cut(pointed(event))].sort((a, b) => a - b);
      release();
      if (to - from > 4) show(view.back(from), view.back(to));
    });
    svg.addEventListener("pointercancel", release);
    svg.addEventListener("pointerleave", leave);
    svg.addEventListener("dblclick", reset);
    svg.addEventListener("wheel", (event) => {
      // A pinch comes as a wheel with Ctrl; a plain wheel scrolls the page.
      if (!event.ctrlKey) return;
      event.preventDefault();
      const turned = clamp(event.deltaY * (event.deltaMode ? 16 : 1), -40, 40);
      zoom(Math.exp(-turned / 100), view.back(view.cut(pointed(event))));
    }, { passive: false });
  };

  // Where a drawing is wider than the screen, the overlap is what has to be seen first.
  const scrollToOverlap = (svg) => {
    const frame = svg.querySelector(".overlapframe");
    const box = svg.parentElement;
    if (!frame) return;
    const middle = number(frame, "x") + number(frame, "width") / 2;
    const share = middle / svg.viewBox.baseVal.width;
    box.scrollLeft = share * box.scrollWidth - box.clientWidth / 2;
  };

  for (const svg of document.querySelectorAll("svg[data-window]")) {
    zoomable(svg);
    scrollToOverlap(svg);
  }
})();
