// Zoom and hover for the timelines. Without it the page is whole, only still.
//
// A figure says its window of time in data-window. Shapes are moved, not scaled, so that text,
// signs, strokes and hatches keep their form. A shape begins at its instant, and data-width is the
// true width of what it stands for, where that is not its own.
(() => {
  "use strict";

  // The drawing has a decimal of a pixel: beyond this, its rounding would show.
  const MOST = 64;
  // The narrowest mark, as the figure draws it.
  const LEAST = 2;
  // The width of a letter, as the figure estimates it.
  const LETTER = 6.4;

  const number = (shape, name) => Number(shape.getAttribute(name));
  const seconds = (ns, decimals) => `${(ns / 1e9).toFixed(decimals)} s`;
  const create = (name, className, text = "") => {
    const element = document.createElement(name);
    element.className = className;
    element.textContent = text;
    return element;
  };

  const tip = create("div", "tip");
  tip.hidden = true;
  document.body.append(tip);

  // The browser would show a title next to the tip, so it is taken out once it is known.
  const titles = new WeakMap();
  const titleOf = (shape) => {
    const title = shape.querySelector(":scope > title");
    if (title) {
      titles.set(shape, title.textContent);
      title.remove();
    }
    return titles.get(shape);
  };

  // About ten round instants, as the figure's own.
  const ticks = (from, to) => {
    let step = 1;
    for (let n = 0; (to - from) / step > 12; n++) step *= [2, 2.5, 2][n % 3];
    const decimals = step >= 1e9 ? 0 : step >= 1e8 ? 1 : step >= 1e7 ? 2 : step >= 1e6 ? 3 : 6;
    const instants = [];
    for (let n = Math.ceil(from / step); n * step <= to; n++) instants.push(n * step);
    return instants.map((ns) => [ns, seconds(ns, decimals)]);
  };

  const zoomable = (svg) => {
    const [startNs, endNs, left, right] = svg.dataset.window.split(" ").map(Number);
    const box = svg.parentElement;
    const grid = svg.querySelector(".grid");
    if (!grid) return;
    const [top, bottom] = [number(grid, "y1"), number(grid, "y2")];
    const draw = (name, className, attributes) => {
      const shape = document.createElementNS(svg.namespaceURI, name);
      shape.setAttribute("class", className);
      for (const key in attributes) shape.setAttribute(key, attributes[key]);
      return shape;
    };

    // What is seen, in the x of the figure as it was drawn.
    let [from, to] = [left, right];

    const factor = () => (right - left) / (to - from);
    const at = (x) => left + (x - from) * factor();
    const back = (x) => from + (x - left) / factor();
    const ns = (x) => startNs + ((x - left) / (right - left)) * (endNs - startNs);
    const zoomed = () => to - from < right - left;
    // A pixel more is another instant.
    const decimals = () => {
      const pixel = (ns(to) - ns(from)) / 1e9 / (right - left);
      return Math.min(6, Math.max(2, Math.ceil(-Math.log10(pixel))));
    };
    const within = (x) => x > left - 0.1 && x < right + 0.1;
    const cut = (x) => Math.min(right, Math.max(left, x));
    // The part of a range that is seen, if any.
    const part = (x, width, least = 0) => {
      const [a, b] = [at(x), Math.max(at(x + width), at(x) + least)];
      return b > left && a < right && { a: cut(a), b: cut(b), whole: within(a) && within(b) };
    };
    const set = (shape, shown, attributes) => {
      shape.style.display = shown ? "" : "none";
      if (shown) for (const key in attributes) shape.setAttribute(key, attributes[key].toFixed(1));
    };

    // Each takes a shape as it was drawn, and returns what puts it into the window.
    const placers = {
      line(shape) {
        const x = number(shape, "x1");
        return () => set(shape, within(at(x)), { x1: at(x), x2: at(x) });
      },
      rect(shape) {
        const [x, drawn] = [number(shape, "x"), number(shape, "width")];
        const width = Number(shape.dataset.width ?? drawn);
        return () => {
          const seen = part(x, width, Math.min(drawn, LEAST));
          set(shape, seen, { x: seen.a, width: seen.b - seen.a });
        };
      },
      text(shape) {
        const [x, width] = [number(shape, "x"), Number(shape.dataset.width)];
        if (!width) return () => set(shape, within(at(x)), { x: at(x) });
        // A label stays on what is seen of its range, as long as there is room.
        const share = { middle: 0.5, end: 1 }[shape.getAttribute("text-anchor")] ?? 0;
        const needed = shape.textContent.length * LETTER;
        return () => {
          const { a, b, whole } = part(x - share * width, width);
          set(shape, whole || b - a >= needed, { x: a + share * (b - a) });
        };
      },
      path(shape) {
        const data = shape.getAttribute("d");
        const bars = [...data.matchAll(/M(\S+) (\S+)h([\d.]+)v([\d.]+)h-[\d.]+z/g)]
          .map(([, x, y, width, height]) => [Number(x), y, Number(width), height]);
        if (!bars.length) {
          const [, x, rest] = data.match(/^M(\S+)(.*)/);
          return () => {
            set(shape, within(at(x)));
            shape.setAttribute("d", `M${at(x).toFixed(1)}${rest}`);
          };
        }
        return () => {
          let moved = "";
          for (const [x, y, width, height] of bars) {
            const { a, b } = part(x, width);
            const w = (b - a).toFixed(1);
            if (a < b) moved += `M${a.toFixed(1)} ${y}h${w}v${height}h-${w}z`;
          }
          shape.setAttribute("d", moved);
        };
      },
    };
    const moving = "line:not(.rail,.grid,.ruler),rect:not(.selection),text:not(.lane,.axis),path";
    let place;

    const axis = () => {
      const old = svg.querySelectorAll(".grid,.axis");
      const marks = ticks(ns(from), ns(to)).flatMap(([tickNs, label]) => {
        const x = at(left + ((tickNs - startNs) / (endNs - startNs)) * (right - left)).toFixed(1);
        const text = draw("text", "axis", { x, y: bottom + 14, "text-anchor": "middle" });
        text.textContent = label;
        return [draw("line", "grid", { x1: x, x2: x, y1: top, y2: bottom }), text];
      });
      old[0].before(...marks);
      for (const mark of old) mark.remove();
    };

    const redraw = () => {
      // Most figures are never zoomed: their shapes are read when one is.
      place ??= [...svg.querySelectorAll(moving)].map((shape) => placers[shape.localName](shape));
      leave();
      for (const placed of place) placed();
      axis();
      readout.textContent = zoomed()
        ? `${seconds(ns(from), decimals())} to ${seconds(ns(to), decimals())}`
        : "";
      const magnified = factor() >= 4 && svg.querySelector("path.d3");
      if (magnified) readout.textContent += ", magnified: a bar may stand for several";
      for (const button of controls.querySelectorAll(".unzoom")) button.ariaDisabled = !zoomed();
    };
    let frame = 0;
    const show = (first, last) => {
      const width = Math.min(right - left, Math.max((right - left) / MOST, last - first));
      from = Math.min(right - width, Math.max(left, (first + last - width) / 2));
      to = from + width;
      cancelAnimationFrame(frame);
      frame = requestAnimationFrame(redraw);
    };
    const whole = () => show(left, right);
    const shift = (share) => show(from + share * (to - from), to + share * (to - from));
    // What is at `x` stays there.
    const zoom = (by, x = (from + to) / 2) => show(x - (x - from) / by, x + (to - x) / by);

    const controls = create("div", "zoom");
    controls.role = "group";
    controls.ariaLabel = "Zoom of the timeline";
    const readout = create("output", "");
    const keys = {};
    for (const [sign, label, key, act] of [
      ["\u25c0", "Earlier", "ArrowLeft", () => shift(-0.25)],
      ["\u25b6", "Later", "ArrowRight", () => shift(0.25)],
      ["\u2212", "Zoom out", "-", () => zoom(0.5)],
      ["+", "Zoom in", "+", () => zoom(2)],
      ["Whole run", "Whole run", "0", whole],
    ]) {
      const button = create("button", key === "+" ? "" : "unzoom", sign);
      button.type = "button";
      button.ariaLabel = label;
      button.ariaDisabled = key !== "+";
      button.addEventListener("click", act);
      controls.append(button);
      keys[key] = act;
    }
    keys["="] = keys["+"];
    controls.prepend(readout);
    box.before(controls);

    box.addEventListener("keydown", (event) => {
      const modified = event.ctrlKey || event.metaKey || event.altKey;
      // A figure that is whole may still be scrolled with the arrows.
      if (modified || !keys[event.key] || (event.key.startsWith("Arrow") && !zoomed())) return;
      event.preventDefault();
      keys[event.key]();
    });

    const ruler = draw("line", "ruler", { y1: top, y2: bottom });
    const selection = draw("rect", "selection", { y: top, height: bottom - top, width: 0 });
    svg.append(selection, ruler);
    const pointed = (event) =>
      new DOMPoint(event.clientX, event.clientY).matrixTransform(svg.getScreenCTM().inverse()).x;
    let pressed = null;
    const press = (x) => {
      pressed = x;
      selection.setAttribute("width", 0);
    };
    const leave = () => {
      tip.hidden = true;
      ruler.style.display = "none";
    };
    leave();

    svg.addEventListener("pointermove", (event) => {
      const x = pointed(event);
      if (pressed !== null) {
        selection.setAttribute("x", Math.min(cut(x), pressed));
        selection.setAttribute("width", Math.abs(cut(x) - pressed));
      }
      if (!within(x)) return leave();
      const covers = (fault) => {
        const [begin, width] = [number(fault, "x"), number(fault, "width")];
        return fault.style.display !== "none" && begin <= x && x <= begin + width;
      };
      const faults = [...svg.querySelectorAll("rect.fault")].filter(covers);
      const words = new Set([event.target, ...faults].map(titleOf).filter(Boolean));
      tip.textContent = [seconds(ns(back(x)), decimals()), ...words].join("\n");
      tip.hidden = false;
      // Away from the pointer, on the side where there is more room.
      const [leftward, upward] = [event.clientX > innerWidth / 2, event.clientY > innerHeight / 2];
      tip.style.left = leftward ? "" : `${event.clientX + 14}px`;
      tip.style.right = leftward ? `${document.body.clientWidth - event.clientX + 14}px` : "";
      tip.style.top = upward ? "" : `${event.clientY + 14}px`;
      tip.style.bottom = upward ? `${innerHeight - event.clientY + 14}px` : "";
      ruler.style.display = "";
      ruler.setAttribute("x1", x);
      ruler.setAttribute("x2", x);
    });
    svg.addEventListener("pointerleave", leave);
    svg.addEventListener("pointerdown", (event) => {
      // A finger scrolls.
      if (event.button !== 0 || event.pointerType === "touch" || !within(pointed(event))) return;
      svg.setPointerCapture(event.pointerId);
      press(cut(pointed(event)));
    });
    svg.addEventListener("pointerup", (event) => {
      if (pressed === null) return;
      const [first, last] = [pressed, cut(pointed(event))].sort((a, b) => a - b);
      press(null);
      if (last - first > 4) show(back(first), back(last));
    });
    svg.addEventListener("pointercancel", () => press(null));
    svg.addEventListener("dblclick", whole);
    svg.addEventListener("wheel", (event) => {
      // A pinch comes as a wheel with Ctrl; a plain wheel scrolls the page.
      if (!event.ctrlKey) return;
      event.preventDefault();
      const turned = Math.min(40, Math.max(-40, event.deltaY * (event.deltaMode ? 16 : 1)));
      zoom(Math.exp(-turned / 100), back(cut(pointed(event))));
    }, { passive: false });
  };

  for (const svg of document.querySelectorAll("svg[data-window]")) zoomable(svg);
})();
